"""Certainty without a probability, and classes taken in turn."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from histonic.core.errors import SettingsError
from histonic.core.task import Task
from histonic.runs.predictions import PredictionTable
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress.compress import compress
from histonic.stages.explain.choice import (
    chosen_patients,
    find_map,
    require_slides_for_workers,
    settings_for_workers,
)
from histonic.stages.explain.settings import ExplainSettings

TASK = Task("msi", "binary", ("msi",), ("no", "yes"))


def table_of(p_yes: list[float]) -> PredictionTable:
    table = pd.DataFrame(
        {
            "patient_id": [f"P{number}" for number in range(len(p_yes))],
            "p_no": [str(round(1 - p, 6)) for p in p_yes],
            "p_yes": [str(p) for p in p_yes],
        }
    )
    return PredictionTable(TASK, table)


def test_each_class_has_a_turn() -> None:
    roles = chosen_patients(table_of([0.99, 0.98, 0.97, 0.05, 0.55, 0.5]), 2)
    assert roles["P0"] == roles["P3"] == "most certain"
    assert len(roles) == 4 and "P1" not in roles


def test_a_rare_class_is_certain_at_a_low_probability() -> None:
    # With a mean of 0.1, a probability of 0.1 is what a network says that knows nothing.
    values = np.array([0.1, 0.02, 0.3, 0.06, 0.05, 0.07])
    roles = chosen_patients(table_of(values.tolist()), 2)
    assert roles["P2"] == roles["P1"] == "most certain" and roles["P0"] == "least certain"


def test_nobody_is_most_and_least_certain() -> None:
    for count in (1, 2, 5):
        roles = chosen_patients(table_of([0.9, 0.1, 0.5]), count)
        assert len(roles) == 2


def test_workers_are_sent_places_that_are_the_same_from_their_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run: Any = SimpleNamespace(folder=Path("run"), facts=SimpleNamespace(store=Path("store")))
    write_pyramid("S1.tif", np.full((300, 400, 3), (200, 120, 180), np.uint8), mpp=0.5)
    compress(slides=["S1.tif"], encoder="colour", out="store", device="cpu")
    given = ExplainSettings(run="run", slide=("S1", "store/S1.zarr"), masks="masks")
    sent = settings_for_workers(given, run)
    assert sent.slide == ("S1", str(tmp_path / "store/S1.zarr"))
    assert (sent.run, sent.store, sent.masks) == tuple(tmp_path / name for name in ("run", "store", "masks"))
    for name in (*sent.slide, "S2"):
        moved = sent.model_copy(update={"slides_at": tmp_path})
        require_slides_for_workers(moved, tmp_path / "store", [name])
        if name != "S2":
            with pytest.raises(SettingsError, match="Explain S1 on a cluster") as raised:
                require_slides_for_workers(sent, tmp_path / "store", [name])
            assert "relative path S1.tif" in raised.value.found and "--slides-at" in raised.value.todo
    require_slides_for_workers(sent, tmp_path / "store", ["S2"])


@pytest.mark.parametrize("asked", ["Case1.tif", "CASE1", "case-1"])
def test_the_nearest_name_of_a_map_is_told(tmp_path: Path, asked: str) -> None:
    write_pyramid(tmp_path / "case1.tif", np.full((256, 256, 3), (200, 100, 160), np.uint8), mpp=0.5)
    compress(slides=(tmp_path / "case1.tif",), encoder="colour", out=tmp_path / "store", device="cpu")
    with pytest.raises(SettingsError) as raised:
        find_map(tmp_path / "store", asked)
    assert raised.value.todo.startswith("Did you mean 'case1'?")
