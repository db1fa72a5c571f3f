"""What is said of a tile set: what is refused, and what a folder says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from histonic.core.errors import SettingsError
from histonic.core.settings import make_settings
from histonic.data.tilesets.plan import DECLARATION, TileSetSettings, declare


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"mpp": 0.0}, "mpp is 0.0"),
        ({"mpp": float("inf")}, "mpp is inf"),
        ({"assumed_mpp": float("nan")}, "assumed_mpp is nan"),
        ({"kind": "survival"}, "kind is 'survival'"),
        ({"lable": "grade"}, "Did you mean 'label'"),
    ],
)
def test_what_cannot_be_used_is_named(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        make_settings(TileSetSettings, {"name": "set", "path": "x", **facts})


def test_a_folder_declares_itself(tmp_path: Path) -> None:
    assert declare(tmp_path, 0.5) == TileSetSettings(name=tmp_path.name, path=tmp_path, mpp=0.5)
    (tmp_path / DECLARATION).write_text("mpp: 0.25\nlabel: [grade]\ntiles: 12\n", encoding="utf-8")
    declared = declare(tmp_path, 0.5)
    assert (declared.mpp, declared.label, declared.path) == (0.25, ("grade",), tmp_path)


@pytest.mark.parametrize("text", ["mpp: [", "mpp: -1", "\xff"])
def test_a_damaged_declaration_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / DECLARATION).write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError, match=DECLARATION):
        declare(tmp_path, None)
