from __future__ import annotations

from pathlib import Path

import pytest
import torch

from histonic.encoders.engines import machine
from histonic.encoders.engines.machine import is_half_fast, machine_kind, processor_flags


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("processor : 0\nflags\t\t: fpu avx2 amx_bf16\nflags : other\n", {"fpu", "avx2", "amx_bf16"}),
        ("processor : 0\nFeatures : fp asimd bf16\n", {"fp", "asimd", "bf16"}),
        ("nothing of the kind\n", set()),
    ],
)
def test_flags_are_those_of_the_first_processor(tmp_path: Path, text: str, flags: set[str]) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    assert processor_flags(file) == flags


def test_no_flags_are_known_where_the_system_does_not_tell(tmp_path: Path) -> None:
    assert processor_flags(tmp_path / "absent") == set()


@pytest.mark.parametrize(
    ("flags", "fast"), [({"avx2"}, False), ({"avx2", "amx_bf16"}, True), ({"avx512_bf16"}, True)]
)
def test_half_precision_is_fast_where_it_has_instructions(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], fast: bool
) -> None:
    monkeypatch.setattr(machine, "processor_flags", lambda: frozenset(flags))
    assert is_half_fast("cpu") is fast
    assert ("amx_bf16" in machine_kind("cpu")) is ("amx_bf16" in flags)
    assert machine_kind("cpu").endswith(torch.__version__)
