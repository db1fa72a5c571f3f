"""The checks tell a good explanation from a bad one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from histonic.aggregators.base import build_model
from histonic.core.compressed import CompressedSlide
from histonic.core.progress import Silent
from histonic.core.task import Task
from histonic.data.maps.memory import Maps
from histonic.stages.explain.attribution.checks import (
    cell_auc,
    deletion_insertion,
    randomise_weights,
    rank_correlation,
)
from histonic.stages.explain.attribution.methods import METHODS
from histonic.stages.explain.attribution.output import ExplainedOutput
from histonic.stages.explain.attribution.results import DeletionCurves
from histonic.stages.explain.attribution.views import ExplainedNetwork, explain_map

TASK = Task("msi", "binary", ("msi",), ("no", "yes"))
ASKED = ExplainedOutput(TASK, 1)


@pytest.fixture
def world(slide_maker) -> tuple[list[ExplainedNetwork], Maps, np.ndarray]:
    """A linear network, a map, and what each cell truly adds."""
    rng = np.random.default_rng(0)
    mask = np.ones((10, 10), bool)
    mask[0] = False
    codes = rng.normal(size=(6, 10, 10)) * mask
    slide: CompressedSlide = slide_maker("s", codes, mask)
    torch.manual_seed(0)
    model = build_model("mean", code_size=6, crop_cells=16, tasks=(TASK,)).eval()
    torch.nn.init.normal_(model.heads["msi"].linear.weight, std=8)
    weight = model.heads["msi"].linear.weight[0].detach().numpy()
    truth = np.where(mask, np.einsum("d,drk->rk", weight, slide.features[:].astype(float)), np.nan)
    return [ExplainedNetwork(model, None, 16, 10)], Maps({"s": slide}, Silent()), truth  # type: ignore[arg-type]


def curves_of(world, values: np.ndarray) -> DeletionCurves:
    networks, maps, _ = world
    return deletion_insertion(networks, maps, "s", ASKED, values, np.random.default_rng(0))


def test_the_true_order_gains_and_its_reverse_loses(world) -> None:
    truth = world[2]
    right, wrong = curves_of(world, truth).areas, curves_of(world, -truth).areas
    assert right.deletion < right.random < right.insertion
    assert right.gain > 0.1 and wrong.gain < -0.1
    # Deleting in the reverse order is inserting read from its end.
    assert wrong.deletion == pytest.approx(right.insertion, abs=1e-6)


def test_no_order_gains_nothing(world) -> None:
    networks, maps, truth = world
    flat = np.where(np.isnan(truth), np.nan, 0.0)
    gains = [
        deletion_insertion(networks, maps, "s", ASKED, flat, np.random.default_rng(seed)).areas.gain
        for seed in range(20)
    ]
    assert abs(np.mean(gains)) < 2.5 * np.std(gains) / np.sqrt(20)


def test_curves_begin_and_end_where_they_must(world) -> None:
    curves = curves_of(world, world[2])
    assert curves.share[0] == 0 and curves.share[-1] == 1 and len(curves.share) == 21
    assert curves.deletion[0] == pytest.approx(curves.insertion[-1]) == pytest.approx(curves.random[0])
    assert curves.deletion[-1] == pytest.approx(curves.insertion[0]) == pytest.approx(0.5)


def test_better_than_each_random_order_is_meant_literally() -> None:
    def better(deletion: float, insertion: float) -> bool:
        lines = {"deletion": [deletion] * 2, "insertion": [insertion] * 2, "random": [0.5] * 2}
        return DeletionCurves.drawn([0.0, 1.0], [0.3, 0.7], **lines).is_better

    assert better(0.2, 0.8) and not better(0.35, 0.8) and not better(0.2, 0.6)


def test_a_map_that_ignores_the_weights_is_found_out(world) -> None:
    networks, maps, _ = world
    method = METHODS["integrated-gradients"]
    values = explain_map(networks, maps, "s", ASKED, method)
    honest = randomise_weights(networks, maps, "s", ASKED, method, values, 0)
    assert abs(np.mean(honest.correlations)) < 0.6 and len(set(honest.correlations)) == 4

    def edges(model, windows, output):  # An edge detector in disguise: it never asks the network.
        return windows.codes.square().sum(dim=1) * windows.mask

    same = explain_map(networks, maps, "s", ASKED, edges)
    blind = randomise_weights(networks, maps, "s", ASKED, edges, same, 0)
    assert min(blind.correlations) == pytest.approx(1)
    assert blind.noted().mean == pytest.approx(1)


def test_the_auc_is_that_of_an_independent_library() -> None:
    rng = np.random.default_rng(1)
    mask = rng.random((9, 9)) < 0.7
    lesion, values = rng.random((9, 9)), rng.normal(size=(9, 9)).round(1)
    expected = roc_auc_score(lesion[mask] >= 0.5, values[mask])
    assert cell_auc(values, lesion, mask) == pytest.approx(expected)
    assert cell_auc(values, lesion * 0, mask) is None and cell_auc(values, lesion * 0 + 1, mask) is None


def test_a_constant_map_correlates_with_nothing() -> None:
    assert rank_correlation(np.zeros(5), np.arange(5.0)) == 0.0
    assert rank_correlation(np.arange(5.0), -np.arange(5.0)) == -1.0
