"""What a store holds of a list of slides, also where a slide cannot be asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from histonic.core.errors import SettingsError, UnreadableSlideError
from histonic.core.places.urls import Url
from histonic.data.tables.slide_lists import SlideRow
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.study.steps import maps
from histonic.stages.study.steps.maps import find_maps


def test_slides_of_a_server_that_does_not_answer_keep_their_maps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tuple(SlideRow(name, Url(f"https://host.org/{name}.svs")) for name in ("a", "b", "new"))
    settings = CompressSettings(slides=("https://host.org/a.svs",), encoder="colour", out=tmp_path)

    def state_of(row: SlideRow, _: Any) -> str:
        if row.slide_id == "b":
            raise UnreadableSlideError(f"Read {row.path}.", "The server does not answer.", "Try again.")
        return "done" if row.slide_id == "a" else "absent"

    monkeypatch.setattr(maps, "rows_of", lambda _: rows)
    monkeypatch.setattr(maps, "settled", lambda _: (settings, None))
    monkeypatch.setattr(maps, "describe", lambda _: type("Described", (), {"fingerprint": ""}))
    monkeypatch.setattr(maps, "_other_maker", lambda *_: "")
    monkeypatch.setattr(maps, "state_of", state_of)
    held: dict[str, Any] = {"a": type("Facts", (), {}), "b": type("Facts", (), {})}
    settings = settings.model_copy(update={"precision": "float32"})
    monkeypatch.setattr(maps, "_facts_of", lambda _: (held, set()))
    with pytest.raises(SettingsError, match=r"1 slides that have a map .* b \(The server does not answer"):
        find_maps(settings, None)
    del held["b"]
    found = find_maps(settings, None)
    assert found.ready == ("a",) and [row.slide_id for row in found.waiting] == ["b", "new"]
