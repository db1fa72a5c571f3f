"""Training data: the loss of predictions, slides of a patient joined, and ranks that share a batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from histonic.aggregators.base import build_model
from histonic.core.cohort import Cohort, Patient
from histonic.core.compressed import CompressedSlide
from histonic.core.progress import Silent
from histonic.core.task import Task
from histonic.data.maps.memory import Maps
from histonic.models.predicting import predict_patients, predict_slides
from histonic.stages.train.draws import BalancedDraws
from histonic.stages.train.training_data import SlideTrainingData
from histonic.training.devices import SingleDevice, make_fabric

SCORE = Task("score", "regression", ("s",))
GRADE = Task("grade", "multiclass", ("g",), ("a", "b", "c"))
OS = Task("os", "survival", ("t", "e"))
Maker = Callable[..., CompressedSlide]


@pytest.fixture(scope="module")
def maps(slide_maker: Maker) -> Maps:
    rng = np.random.default_rng(0)
    shapes = [(9, 9), (9, 14), (30, 20), (8, 9)]
    slides = {
        f"s{i}": slide_maker(f"s{i}", rng.normal(size=(3, *shape)), rng.random(shape) < 0.8)
        for i, shape in enumerate(shapes)
    }
    return Maps(slides, Silent())


PATIENTS = (
    Patient("A", ("s0", "s1"), targets={"score": 1.0}),
    Patient("B", ("s2",), targets={"score": 2.0}),
    Patient("C", ("s3",), targets={"score": 4.0}),
)


def training_data(maps: Maps) -> SlideTrainingData:
    torch.manual_seed(0)
    model = build_model("convnet", code_size=3, crop_cells=12, tasks=(SCORE,))
    torch.nn.init.normal_(model.heads["score"].linear.weight)
    cohort = Cohort((SCORE,), PATIENTS)
    draws = BalancedDraws((SCORE,), {"score": cohort.targets(SCORE)}, 4)
    return SlideTrainingData(
        cohort,
        PATIENTS,
        PATIENTS,
        maps=maps,
        model=model,
        draws=draws,
        crop_cells=12,
        keys=(1, 2),
        test_crops=10,
    )


def test_slides_of_a_patient_are_averaged(maps: Maps) -> None:
    model, fabric = training_data(maps).model, make_fabric("cpu")
    looks = {"fabric": fabric, "crop_cells": 12, "crops": 3}
    slides = predict_slides(model, maps, ["s0", "s1", "s2", "s3"], **looks)["score"]  # type: ignore[arg-type]
    patients = predict_patients(model, maps, PATIENTS, **looks)["score"]  # type: ignore[arg-type]
    assert np.allclose(patients[:, 0], [slides[:2].mean(), slides[2, 0], slides[3, 0]])
    assert len(set(slides[:, 0])) == 4


def test_predicting_here_is_predicting_by_a_fabric(maps: Maps) -> None:
    model = training_data(maps).model
    here, there = (
        predict_slides(model, maps, ["s0", "s3"], fabric=each, crop_cells=12, crops=3)["score"]
        for each in (SingleDevice(), make_fabric("cpu"))
    )
    assert np.array_equal(here, there)


def test_predictions_hardly_change_when_the_slide_is_turned(slide_maker: Maker, maps: Maps) -> None:
    rng = np.random.default_rng(1)
    codes = rng.normal(size=(3, 12, 12))
    both = {
        "a": slide_maker("a", codes, np.ones((12, 12), bool)),
        "b": slide_maker("b", np.rot90(codes, 1, (1, 2)).copy(), np.ones((12, 12), bool)),
    }
    found = predict_slides(
        training_data(maps).model,
        Maps(both, Silent()),
        ["a", "b"],
        fabric=make_fabric("cpu"),
        crop_cells=12,
        crops=1,
    )["score"]
    assert found[0, 0] == pytest.approx(found[1, 0], abs=1e-5)


@pytest.mark.parametrize("aggregator", ["convnet", "transmil"])
@pytest.mark.parametrize("shape", [(11, 9), (30, 17)])
def test_glass_around_the_tissue_changes_no_prediction(
    slide_maker: Maker, aggregator: str, shape: tuple[int, int]
) -> None:
    rng = np.random.default_rng(2)
    mask = rng.random(shape) < 0.8
    codes = rng.normal(size=(3, *shape)) * mask
    edges = ((4, 13), (7, 2))
    wide = slide_maker("wide", np.pad(codes, ((0, 0), *edges)), np.pad(mask, edges))
    maps = Maps({"s": slide_maker("s", codes, mask), "wide": wide}, Silent())
    torch.manual_seed(0)
    model = build_model(aggregator, code_size=3, crop_cells=12, tasks=(SCORE,))
    torch.nn.init.normal_(model.heads["score"].linear.weight)
    looks = {"fabric": make_fabric("cpu"), "crop_cells": 12, "crops": 3}
    found = predict_slides(model, maps, ["s", "wide"], **looks)["score"]  # type: ignore[arg-type]
    assert found[0, 0] == found[1, 0] != 0
    assert maps.largest_side() == max(shape)


def test_batches_are_the_same_each_time_and_shared_among_ranks(maps: Maps) -> None:
    one = training_data(maps)
    alone = list(one.batches(3, 0, 1))
    again = list(one.batches(3, 0, 1))
    ranks = [list(one.batches(3, rank, 2)) for rank in range(2)]
    assert len(alone) == one.steps == 8
    for whole, same, first, second in zip(alone, again, *ranks, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(whole[0], same[0], strict=True))
        assert first[0][0].shape == (2, 3, 12, 12)
        assert torch.equal(first[1]["score"], second[1]["score"])
        assert sorted(first[1]["score"].tolist()) == sorted(whole[1]["score"].tolist())
    assert not torch.equal(alone[0][0][0], next(iter(one.batches(4, 0, 1)))[0][0])


def test_targets_stay_with_their_crops(maps: Maps, tmp_path: Path) -> None:
    one = training_data(maps)
    shape = {1.0: {81, 126}, 2.0: set(range(12 * 12 + 1)), 4.0: {72}}
    for rank in range(2):
        for (_, mask), targets in one.batches(1, rank, 2):
            mine = targets["score"][rank * 2 : rank * 2 + 2]
            for target, seen in zip(mine.tolist(), mask, strict=True):
                most = max(shape[target])
                assert int(seen.sum()) <= most
                if target == 4.0:
                    assert int(seen.sum()) == int(maps.mask("s3").sum())


def test_validation_begins_at_the_baseline(maps: Maps) -> None:
    one = training_data(maps)
    torch.nn.init.zeros_(one.model.heads["score"].linear.weight)
    values = np.array([1.0, 2.0, 4.0])
    one.model.heads["score"].set_scale(float(values.mean()), float(values.std()))
    found = one.predict(one.model, make_fabric("cpu"))
    assert one.validate(found).loss == pytest.approx(1.0, abs=1e-5)


def test_validating_twice_changes_nothing(maps: Maps) -> None:
    one, fabric = training_data(maps), make_fabric("cpu")
    one.model.heads["score"].set_scale(2.0, 1.0)
    for shrinkage in (0.3, 1.0):
        one.model.heads["score"].shrinkage.fill_(shrinkage)
        before = {name: value.clone() for name, value in one.model.state_dict().items()}
        found = [one.predict(one.model, fabric) for _ in range(2)]
        assert np.array_equal(found[0]["score"], found[1]["score"])
        assert one.validate(found[0]) == one.validate(found[0]) == one.validate(found[1])
        assert all(torch.equal(value, before[name]) for name, value in one.model.state_dict().items())


def test_calibration_chooses_the_trust_that_predicts_best(maps: Maps) -> None:
    one, fabric = training_data(maps), make_fabric("cpu")
    head = one.model.heads["score"]
    head.set_scale(2.0, 1.0)
    looks = {"fabric": fabric, "crop_cells": 12, "crops": 4}
    raw = predict_patients(one.model, maps, PATIENTS, **looks)["score"][:, 0]  # type: ignore[arg-type]
    off = raw - 2.0
    for targets, shrinkage, loss in (
        (2.0 + 0.3 * off, 0.3, 0.0),
        (2.0 - off, 0.0, (off**2).mean()),
        (np.full(3, np.nan), 1.0, 0.0),
    ):
        one.validation_targets = {"score": targets}
        found = one.predict(one.model, fabric)
        one.calibrate(found)
        assert float(head.shrinkage) == pytest.approx(shrinkage)
        assert one.validate(found).loss == pytest.approx(loss, abs=1e-9)


@pytest.mark.parametrize(("patients", "batch", "world"), [(7, 3, 1), (9, 4, 2), (5, 2, 2), (1, 4, 1)])
def test_a_whole_step_sees_every_patient_once(
    slide_maker: Maker, patients: int, batch: int, world: int
) -> None:
    """Over the ranks and pieces, in the order of the targets; a patient's second look has no target."""
    slides, people = {}, []
    for number in range(patients):
        codes = np.full((3, 9, 9), number + 1.0)
        slides[f"s{number}"] = slide_maker(f"s{number}", codes, np.ones((9, 9), bool))
        people.append(Patient(f"P{number}", (f"s{number}",), targets={"os": (number + 1.0, 1.0)}))
    cohort = Cohort((OS,), tuple(people))
    model = build_model("mean", code_size=3, crop_cells=9, tasks=(OS,))
    draws = BalancedDraws((OS,), {"os": cohort.targets(OS)}, batch)
    made = SlideTrainingData(
        cohort,
        people,
        people,
        maps=Maps(slides, Silent()),
        model=model,
        draws=draws,
        crop_cells=9,
        keys=(1, 2),
        test_crops=1,
        whole=True,
    )
    ranks = [list(made.batches(1, rank, world)) for rank in range(world)]
    assert all(len(steps) == made.steps for steps in ranks)
    for step in range(made.steps):
        seen = [float(code.max()) for steps in ranks for codes, _ in steps[step][0] for code in codes]
        sizes = [len(codes) for steps in ranks for codes, _ in steps[step][0]]
        targets = ranks[0][step][1]["os"]
        known = ~torch.isnan(targets[:, 0])
        assert targets[known, 0].tolist() == [value for value, k in zip(seen, known, strict=True) if k]
        assert sorted(targets[known, 0].tolist()) == [number + 1.0 for number in range(patients)]
        assert min(sizes) > 1 or patients <= world
    assert not torch.equal(ranks[0][0][1]["os"], ranks[0][1][1]["os"]) or patients == 1
