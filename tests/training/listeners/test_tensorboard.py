"""Event files, read back by TensorBoard's own reader."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from histonic.core.errors import OutputError, SettingsError
from histonic.core.progress import Measures, heard
from histonic.training.listeners.tensorboard import TensorBoard


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(SettingsError, match=r"pip install 'histonic\[tensorboard\]'"):
        TensorBoard(tmp_path / "board")
    assert list(tmp_path.iterdir()) == []


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return {
        tag: [(each.step, round(each.value, 5)) for each in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def test_numbers_are_read_back_by_network(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    with TensorBoard(tmp_path / "board") as board:
        listener = heard(board)
        for step in (1, 2):
            listener.measured(Measures("fold 1 of 2", 1, step, {"loss": 1 / step}, is_step=True))
        listener.measured(Measures("fold 1 of 2", 1, 2, {"validation loss": 0.25, "grade AUROC": 0.75}))
        listener.measured(Measures("../up", 0, 0, {"validation loss": 2.0}))
        listener.slide("a")
        listener.slide("b", "torn")
        listener.slide("c")
    places = sorted(path.name for path in (tmp_path / "board").iterdir())
    assert places == ["fold_1_of_2", "slides", "up"]
    assert scalars(tmp_path / "board" / "fold_1_of_2") == {
        "step/loss": [(1, 1.0), (2, 0.5)],
        "epoch/validation_loss": [(1, 0.25)],
        "epoch/grade_AUROC": [(1, 0.75)],
    }
    assert scalars(tmp_path / "board" / "up") == {"epoch/validation_loss": [(0, 2.0)]}
    counts = scalars(tmp_path / "board" / "slides")
    assert counts["slides/done"][-1] == (3, 2.0) and counts["slides/failed"][-1] == (3, 1.0)


def test_nothing_is_left_of_a_training_that_was_refused(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    with TensorBoard(tmp_path / "board"):
        assert (tmp_path / "board").is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    (tmp_path / "board").touch()
    with pytest.raises(OutputError):
        TensorBoard(tmp_path / "board")
