"""The search inside a fold: its grid, its random trials, what is refused, and that the winner is used."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from histonic.core.errors import SettingsError
from histonic.core.progress import Silent
from histonic.core.settings import make_settings
from histonic.data.maps.store import Store
from histonic.models import trained
from histonic.models.bundle import read_bundle
from histonic.nn.checkpoint import load_state
from histonic.stages.predict.predict import predict
from histonic.stages.train import linear_heads, networks, train
from histonic.stages.train.search import search_choices
from histonic.stages.train.settings import TrainSettings
from histonic.stages.train.train import train_slides
from histonic.training import loop

GRID = {"aggregator": ["convnet", "mean"], "learning_rate": [0.01, 0.0001]}
SMALL_GRID = {"aggregator": ["abmil", "mean"], "learning_rate": [0.01, 0.0001]}
"""Trained in a fraction of the time that the slide CNN takes."""


def settings(**values: Any) -> TrainSettings:
    given = {"store": "s", "labels": "l.csv", "target": ("os",), "out": "run", **values}
    return make_settings(TrainSettings, given)


def test_the_grid_holds_every_combination_once() -> None:
    found = [(each.aggregator, each.learning_rate) for each in search_choices(settings(search=GRID))]
    assert found == [("convnet", 0.01), ("convnet", 0.0001), ("mean", 0.01), ("mean", 0.0001)]
    assert search_choices(settings()) == (settings(),)
    # However it is written, a trial's number means the same.
    backwards = dict(reversed(GRID.items()))
    assert [each.model_dump(exclude={"search"}) for each in search_choices(settings(search=backwards))] == [
        each.model_dump(exclude={"search"}) for each in search_choices(settings(search=GRID))
    ]


def test_trials_are_drawn_from_the_grid_by_the_seed() -> None:
    big = {"batch": "2,4,8,16,32", "crop_cells": "8,16,32,64"}
    drawn = [search_choices(settings(search=big, search_trials=6, seed=seed)) for seed in (0, 0, 1)]
    pairs = [[(each.batch, each.crop_cells) for each in trials] for trials in drawn]
    assert pairs[0] == pairs[1] != pairs[2]
    assert len(set(pairs[0])) == 6
    assert len(search_choices(settings(search=big, search_trials=99))) == 20


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"folds": "3,4"}, "'folds' cannot be searched"),
        ({"batch": "4,4"}, "empty or named twice"),
        ({"batch": "4,"}, "empty or named twice"),
        ({"batch": "4,many"}, "batch is 'many'"),
        ({}, "nothing to search"),
    ],
)
def test_what_cannot_be_searched_is_refused(search: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        search_choices(settings(search=search, search_trials=None if search else 2))


@pytest.fixture(scope="module", params=[1, 2])
def searched(request: pytest.FixtureRequest, cohort_folder: Path, tmp_path_factory: Any) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear_heads, "PENALTIES", linear_heads.PENALTIES[::3])
        return train_slides(
            store=cohort_folder / "store",
            labels=cohort_folder / "labels.csv",
            target=["score:regression"],
            out=tmp_path_factory.mktemp("search") / "run",
            folds=3,
            max_epochs=1,
            batch=8,
            initialisations=2,
            search=SMALL_GRID,
            search_folds=request.param,
        )


def test_every_fold_uses_the_settings_that_won_in_it(searched: Path) -> None:
    table = pd.read_csv(searched / "search.csv")
    assert table.groupby("fold").size().tolist() == [4, 4, 4]
    best = table.loc[table.groupby("fold")["validation_loss"].idxmin()]
    assert best.chosen.tolist() == [1, 1, 1] and table.chosen.sum() == 3
    bundle = read_bundle(searched / "bundle")
    found = {(member.fold, member.aggregator) for member in bundle.members}
    assert found == set(zip(best.fold, best.aggregator, strict=True))
    assert len(bundle.members) == 6
    history = pd.read_csv(searched / "history.csv")
    rates = history[history.epoch == 0].groupby("fold").learning_rate.unique()
    assert [list(each) for each in rates] == [[rate] for rate in best.learning_rate]


def test_networks_of_different_settings_predict_together(searched: Path, cohort_folder: Path) -> None:
    result = predict(
        bundle=searched / "bundle",
        slides=[cohort_folder / "store"],
        out=searched.parent / "predictions.csv",
    )
    assert result.rows == len(Store.open(cohort_folder / "store").slide_ids)


def test_the_winning_trial_is_the_network_itself(cohort_folder: Path, tmp_path: Path) -> None:
    common: dict[str, Any] = {
        "store": cohort_folder / "store",
        "labels": cohort_folder / "labels.csv",
        "target": ["score:regression"],
        "folds": 3,
        "max_epochs": 1,
        "batch": 8,
        "initialisations": 1,
    }
    found = train_slides(out=tmp_path / "searched", search={"learning_rate": "0.01"}, **common)
    plain = train_slides(out=tmp_path / "plain", learning_rate=0.01, **common)
    left, right = (pd.read_csv(run / "predictions/score.csv") for run in (found, plain))
    pd.testing.assert_frame_equal(left, right)
    assert not (plain / "search.csv").exists()


def test_a_search_compares_fitted_heads_and_networks_by_the_same_patients(
    store_maker: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cox loss grows with the risk set: told of other patients, fitted heads would lose by their number."""
    monkeypatch.setattr(linear_heads, "PENALTIES", linear_heads.PENALTIES[::3])
    folder = store_maker(tmp_path, patients=40, side=5, strength=3.0)
    run = train_slides(
        store=folder / "store",
        labels=folder / "labels.csv",
        target=["os:survival:os_months,os_event"],
        out=tmp_path / "run",
        folds=3,
        max_epochs=1,
        initialisations=1,
        search={"aggregator": "mean,abmil"},
    )
    table = pd.read_csv(run / "search.csv")
    losses = table.pivot(index="fold", columns="aggregator", values="validation_loss")
    assert (losses["mean"] < losses["abmil"]).sum() >= 2


def test_an_interrupted_search_ends_with_the_same_predictions(cohort_folder: Path, tmp_path: Path) -> None:
    class Bomb(Silent):
        left = 20 + 5  # the maps are read, and the first trials trained

        def advance(self, steps: int = 1, note: str = "") -> None:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    given: dict[str, Any] = {
        "store": cohort_folder / "store",
        "labels": cohort_folder / "labels.csv",
        "target": ["score:regression", "os:survival:os_months,os_event"],
        "folds": 3,
        "max_epochs": 1,
        "batch": 8,
        "initialisations": 1,
        "search": {"learning_rate": "0.01,0.001"},
    }
    whole = train_slides(out=tmp_path / "whole", **given)
    with pytest.raises(KeyboardInterrupt):
        train_slides(out=tmp_path / "run", progress=Bomb(), **given)
    assert list((tmp_path / "run" / "checkpoints").glob("*-trial-*"))
    train_slides(out=tmp_path / "run", **given)
    for name in ("predictions/score.csv", "predictions/os.csv", "search.csv", "history.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (whole / name).read_bytes()


def test_every_trial_is_read_once_for_what_it_found(
    cohort_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond that, weights are read where they are needed, and whether it is finished where that is asked."""
    seen: Counter[tuple[str, bool]] = Counter()

    def counted(path: Path, *, tensors: bool = True, **more: Any) -> Any:
        seen["trial" if "-trial-" in path.name else "kept", tensors] += 1
        return load_state(path, tensors=tensors, **more)

    def killed(*given: Any) -> None:
        raise KeyboardInterrupt

    for module in (networks, trained, loop):
        monkeypatch.setattr(module, "load_state", counted)
    given: dict[str, Any] = {
        "store": cohort_folder / "store",
        "labels": cohort_folder / "labels.csv",
        "target": ["score:regression"],
        "out": tmp_path / "run",
        "folds": 3,
        "max_epochs": 1,
        "batch": 8,
        "initialisations": 2,
        "search": {"learning_rate": "0.01,0.001"},
    }
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train, "write_bundle", killed)
        train_slides(**given)
    # The weights of the three that won are those of the first network of their fold.
    assert seen == {("trial", False): 6, ("trial", True): 3, ("kept", True): 6}
    seen.clear()
    train_slides(**given)
    # Each is also asked whether it is finished.
    assert seen == {("trial", False): 6 + 6, ("kept", False): 6, ("kept", True): 6}
    seen.clear()
    train_slides(**given)
    assert not seen


def test_repeats_predict_every_patient_once_each(cohort_folder: Path, tmp_path: Path) -> None:
    run = train_slides(
        store=cohort_folder / "store",
        labels=cohort_folder / "labels.csv",
        target=["score:regression"],
        out=tmp_path / "run",
        folds=3,
        repeats=2,
        max_epochs=1,
        batch=8,
        initialisations=1,
    )
    table = pd.read_csv(run / "predictions/score.csv")
    assert table.groupby("repeat").patient_id.nunique().tolist() == [20, 20]
    assert not table.duplicated(["repeat", "patient_id"]).any()
    cohort = json.loads((run / "cohort.json").read_text())["patients"]
    told = {(p["patient_id"], *place) for p in cohort for place in p["tested_in"]}
    assert told == set(zip(table.patient_id, table["repeat"], table.fold, strict=True))
    first, second = (table[table["repeat"] == r].set_index("patient_id").predicted for r in (0, 1))
    assert not np.allclose(first, second[first.index])
