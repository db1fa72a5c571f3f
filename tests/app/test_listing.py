"""What is installed: a line a plugin, imported only by --check."""

from __future__ import annotations

import importlib.metadata

import pytest
from click.testing import CliRunner

from histonic.app.cli import histonic
from histonic.app.listing import lines_of, list_plugins


def test_every_family_is_listed() -> None:
    shown = CliRunner().invoke(histonic, ["list"])
    assert shown.exit_code == 0
    for name in ("tiff", "openslide", "colour", "nic", "convnet"):
        assert f" {name} " in shown.output


def test_columns_stand_below_each_other() -> None:
    lines = lines_of(list_plugins())
    assert len({line.index(" ready ") for line in lines if " ready " in line}) == 1


def test_check_names_what_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CliRunner().invoke(histonic, ["list", "--check"]).exit_code == 0
    broken = importlib.metadata.EntryPoint("broken", "no_such_package_here:Slide", "histonic.readers")
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: [broken] if group == broken.group else []
    )
    shown = CliRunner().invoke(histonic, ["list"])
    line = next(line for line in shown.output.splitlines() if " broken " in line)
    assert shown.exit_code == 0 and " ready " in line
    shown = CliRunner().invoke(histonic, ["list", "--check"])
    lines = [line for line in shown.output.splitlines() if " ready " not in line]
    assert shown.exit_code == 1 and len(lines) == 1
    assert "broken" in lines[0] and "ModuleNotFoundError: No module named 'no_such_package_here'" in lines[0]
