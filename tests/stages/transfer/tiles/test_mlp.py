"""The small network on frozen codes: its shape by the paper, what a linear model cannot see, rare classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from histonic.core.errors import EncoderError, TrainingError
from histonic.core.task import Task
from histonic.stages.transfer.tiles import mlp
from histonic.stages.transfer.tiles.mlp import SCHEDULE as PAPER
from histonic.stages.transfer.tiles.mlp import CodeClassifier, classify_codes
from histonic.stages.transfer.tiles.probe import LabelledCodes, probe_codes
from histonic.stages.transfer.tiles.scores import leading_value
from histonic.training.schedule import Schedule

BINARY = Task("tumour", "binary", ("label",), ("no", "yes"))
TISSUE = Task("tissue", "multiclass", ("label",), tuple("abcdefghi"))


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    short = Schedule(learning_rate=1e-2, floor=1e-2, max_epochs=12, patience=6)
    monkeypatch.setattr(mlp, "SCHEDULE", short)


def test_the_schedule_is_that_of_the_paper() -> None:
    assert (PAPER.optimizer, PAPER.rates, PAPER.learning_rate, PAPER.floor) == ("adam", 4, 1e-2, 1e-5)
    assert mlp.BATCH == 64


def tiles(targets: np.ndarray, codes: np.ndarray) -> LabelledCodes:
    return LabelledCodes(codes.astype(np.float32), targets.astype(float), np.repeat("", len(targets)))


def corners(n: int, seed: int) -> LabelledCodes:
    """Two numbers whose signs agree or not: no linear model tells."""
    rng = np.random.default_rng(seed)
    signs = rng.choice([-1.0, 1.0], (n, 2))
    return tiles(signs.prod(axis=1) > 0, signs + rng.normal(0, 0.15, (n, 2)))


@pytest.mark.parametrize(("task", "outputs"), [(BINARY, 1), (TISSUE, 9)])
def test_a_dense_layer_of_256_with_normalisation_and_an_output_layer(task: Task, outputs: int) -> None:
    network = CodeClassifier(task, torch.randn(10, 128), torch.zeros(10))
    found = sum(each.numel() for each in network.parameters())
    assert found == (128 + 1) * 256 + 2 * 256 + (256 + 1) * outputs


def test_it_sees_what_no_linear_model_sees() -> None:
    parts = corners(300, 0), corners(100, 1), corners(200, 2)
    found = classify_codes(*parts, BINARY, seed=0)
    linear = probe_codes(parts[0], parts[2], BINARY, seed=0, resamples=0).predictions
    assert leading_value(found) > 0.97 and leading_value(linear) < 0.65
    again = classify_codes(*parts, BINARY, seed=0)
    assert np.array_equal(found.outputs, again.outputs)
    assert not np.array_equal(found.outputs, classify_codes(*parts, BINARY, seed=1).outputs)


def test_a_rare_class_is_called_as_often_as_it_is_there() -> None:
    rng = np.random.default_rng(3)
    parts = []
    for _ in range(3):
        truth = (np.arange(400) % 20 == 0).astype(float)
        parts.append(tiles(truth, rng.normal(1.5 * truth[:, None], 1, (400, 4))))
    found = classify_codes(*parts, BINARY, seed=0)
    assert found.called[found.truth == 1].mean() > 0.7 and leading_value(found) > 0.8


def test_values_in_their_own_unit_and_ordered_classes() -> None:
    rng = np.random.default_rng(4)
    codes = rng.normal(size=(300, 3)) * (1, 100, 0) + (0, 500, 7)
    score = Task("score", "regression", ("score",))
    values = tiles(40 + 0.1 * codes[:, 1], codes)
    found = classify_codes(values, values, values, score, seed=0)
    assert np.abs(found.outputs[:, 0] - values.targets).mean() < 3
    grade = Task("grade", "ordinal", ("grade",), ("low", "mid", "high"))
    ordered = tiles(np.digitize(codes[:, 1], (450, 550)), codes)
    ordered.targets[:5] = np.nan
    graded = classify_codes(ordered, ordered, ordered, grade, seed=0)
    assert len(graded.truth) == 295 and leading_value(graded) > 0.7


def test_what_cannot_be_learned_from_is_refused() -> None:
    good = corners(40, 0)
    with pytest.raises(TrainingError, match="validation tiles have 1"):
        classify_codes(good, tiles(np.zeros(40), good.codes), good, BINARY, seed=0)
    broken = good.codes.copy()
    broken[3] = np.nan
    with pytest.raises(EncoderError, match="1 codes of test tiles are not finite"):
        classify_codes(good, good, good._replace(codes=broken), BINARY, seed=0)
