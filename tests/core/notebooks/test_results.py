from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from histonic.core.notebooks.results import Result
from histonic.data.maps.store import Failure


@dataclass(repr=False)
class CutResult(Result):
    out: Path
    done: list[str]
    enlarged: dict[str, float] = field(default_factory=dict)
    failures: list[Any] = field(default_factory=list)


def test_counts_stand_for_lists_and_failures_are_named() -> None:
    shown = CutResult(Path("out"), ["a", "b"], {"a": 1.5}, [Failure("c", "c.svs", "open", "It is\nempty.")])
    assert repr(shown) == (
        "CutResult (out: out, done: 2, enlarged: a 1.5, failures: 1, failed: c: It is empty.)"
    )
    assert "<th>failed: c</th><td>It is empty.</td>" in shown._repr_html_()
    many = CutResult(Path("out"), [], {}, [("t", str(number), "<b>") for number in range(9)])
    assert repr(many).count("failed:") == 5 and "failures: 9" in repr(many)
    assert "<b>" not in many._repr_html_()
