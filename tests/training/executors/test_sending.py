"""Settings that other hosts can use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from histonic.core.errors import SettingsError
from histonic.core.places.frames import FrameTable
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.train.settings import TrainSettings
from histonic.training.executors.sending import paths_of, sendable


def test_paths_are_absolute_and_frames_are_their_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = TrainSettings(store="store", labels=Path("a.csv"), target=("x",), out="run")
    sent = sendable(given, "Train.")
    assert (sent.store, sent.out) == (tmp_path / "store", tmp_path / "run")
    assert paths_of(sent, "store", "labels", "splits") == [tmp_path / "store", tmp_path / "a.csv"]
    (tmp_path / "named").symlink_to(tmp_path / "run")
    link = given.model_copy(update={"out": Path("named")})
    assert sendable(link, "Train.").out == tmp_path / "named"
    table = FrameTable(pd.DataFrame(), Path("run/labels.csv"))
    framed = given.model_copy(update={"labels": table})
    assert sendable(framed, "Train.").labels == tmp_path / "run/labels.csv"


def test_what_is_in_memory_is_refused() -> None:
    given = TrainSettings(store="s", labels=pd.DataFrame({"patient_id": []}), target=("x",), out="run")
    with pytest.raises(SettingsError, match="'labels' is in the memory") as raised:
        sendable(given, "Train on a cluster.")
    assert raised.value.asked == "Train on a cluster."
    slide = CompressSettings(slides={"a": (np.zeros((300, 300, 3), np.uint8), 0.5)}, out="store")
    with pytest.raises(SettingsError, match="'slides' is in the memory"):
        sendable(slide, "Compress.")
