"""Encoders judged on slides: who is trained on what, what is done again, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from histonic.core.errors import SettingsError
from histonic.metrics.inference.scores import Measure
from histonic.stages.transfer import slides
from histonic.stages.transfer.slide_curve import Arm, Judged
from histonic.stages.transfer.tasks import study_tasks

NAMES = ("nodes", "colon", "breast", "kind")


class SlideWorld:
    """Compression and slide networks that take no time; an encoder of more tasks predicts better."""

    def __init__(self) -> None:
        self.compressed: list[str] = []
        self.trained: list[Path] = []
        self.projected: list[dict[str, Any]] = []

    def compress(self, *, out: Path, encoder: str, **_: Any) -> SimpleNamespace:
        self.compressed.append(encoder)
        out.mkdir(parents=True)
        return SimpleNamespace(failures=[])

    def project(self, *, out: Path, **how: Any) -> None:
        self.projected.append(how)
        out.mkdir(parents=True)

    def train(self, *, out: Path, store: Path, **_: Any) -> Path:
        assert store.is_dir()
        self.trained.append(out)
        out.mkdir(parents=True)
        (out / "run.json").write_text("{}")
        return out

    def judge(self, arm: Arm, names: str, seed: int, run: Path) -> Judged:
        truth = np.arange(40.0)
        noise = np.random.default_rng(3).normal(size=40) * 20

        def statistic(counts: np.ndarray) -> np.ndarray:
            right = (arm.tasks * truth + noise) > 20 * (1 + arm.tasks)
            return np.asarray((counts * (right == (truth > 20))).sum(1) / counts.sum(1))

        target = run.name.partition("-")[0]
        return Judged(arm, names, seed, target, tuple(map(str, range(40))), Measure("share", statistic, 0.5))


@pytest.fixture
def slide_world(fake_world: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SlideWorld:
    world = SlideWorld()
    monkeypatch.setattr(slides, "compress", world.compress)
    monkeypatch.setattr(slides, "train_slides", world.train)
    monkeypatch.setattr(slides, "judge_run", world.judge)
    monkeypatch.setattr(slides, "project", world.project)
    monkeypatch.setattr(slides.Store, "open", lambda _: SimpleNamespace(slide_ids=["a"]))
    (tmp_path / "labels.csv").write_text("slide_id,grade,ki67\n", encoding="utf-8")
    return world


def study(folder: Path, cohort: dict[str, Any] | None = None, **values: Any) -> Path:
    given = {
        "slides": [folder / "slides"],
        "labels": folder / "labels.csv",
        "target": ["grade"],
        "own_sets": ["kind"],
        **(cohort or {}),
    }
    sets = [{"name": name, "path": name, "mpp": 0.5} for name in NAMES]
    known = {"sets": sets, "cohort": given, "resamples": 200, "encoders": []}
    return study_tasks(out=folder / "study", **{**known, **values})


def test_the_targets_own_sets_are_in_the_control_only(
    fake_world: Any, slide_world: SlideWorld, tmp_path: Path
) -> None:
    out = study(tmp_path, seeds=2)
    trained = [([each.name for each in one.sets], one.objective, one.seed) for one in fake_world.trainings]
    control = [names for names, _, _ in trained if "kind" in names]
    assert control == [list(NAMES)] * 2
    unsupervised = [(names, seed) for names, objective, seed in trained if objective == "bigan"]
    assert unsupervised == [(["nodes", "colon", "breast"], 0), (["nodes", "colon", "breast"], 1)]
    counts = sorted(len(names) for names, objective, seed in trained if objective != "bigan" and seed == 0)
    assert counts == [1, 1, 1, 2, 2, 2, 3, 4]
    page = (out / "slides.md").read_text()
    assert "| 0 tasks |" in page and "| with the target's own sets |" in page and "**3 tasks against" in page
    facts = json.loads((out / "slides.json").read_text())
    assert facts["not_yet"] == [] and set(facts["verdicts"]) == {"grade"}
    assert (out / "slides.png").stat().st_size > 5000 and not list((out / "stores").iterdir())


def test_what_is_done_is_not_done_again_and_a_new_seed_is(
    fake_world: Any, slide_world: SlideWorld, tmp_path: Path
) -> None:
    study(tmp_path, counts=[0, 3])
    before = (fake_world.done, len(slide_world.compressed), len(slide_world.trained))
    assert before == (3, 3, 3)
    study(tmp_path, counts=[0, 3])
    assert (fake_world.done, len(slide_world.compressed), len(slide_world.trained)) == before
    study(tmp_path, counts=[0, 3], seeds=2)
    assert (fake_world.done, len(slide_world.compressed)) == (6, 6)
    # Other settings of the slide networks need new runs, not new encoders.
    study(tmp_path, {"train": {"folds": 5}}, counts=[0, 3], seeds=2)
    assert (fake_world.done, len(slide_world.trained)) == (6, 12)


def test_two_targets_share_the_maps_of_an_encoder(slide_world: SlideWorld, tmp_path: Path) -> None:
    out = study(tmp_path, {"target": ["grade", "ki67:regression"], "keep_stores": True}, counts=[0, 3])
    assert len(slide_world.compressed) == 3 and len(slide_world.trained) == 6
    assert len(list((out / "stores").iterdir())) == 3
    assert set(json.loads((out / "slides.json").read_text())["verdicts"]) == {"grade", "ki67"}


def test_augmentations_are_compared_with_all_tasks(
    fake_world: Any, slide_world: SlideWorld, tmp_path: Path
) -> None:
    base = {"augment": "hed-strong"}
    out = study(tmp_path, {"augments": ["morphology"]}, counts=[0, 3], base=base)
    plain = [each for each in fake_world.trainings if each.augment == "morphology"]
    assert [len(each.sets) for each in plain] == [3] and "augment morphology" in (
        out / "slides.md"
    ).read_text()


def test_time_that_is_up_leaves_a_table_of_what_there_is(
    fake_world: Any, slide_world: SlideWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="No encoder was judged"):
        monkeypatch.setattr(slides.time, "monotonic", iter(range(0, 10_000, 1000)).__next__)
        study(tmp_path, {"minutes": 1}, counts=[0, 3])
    clock = iter([0, 0, 0, *[999] * 9])
    monkeypatch.setattr(slides.time, "monotonic", lambda: next(clock))
    out = study(tmp_path, {"minutes": 1}, counts=[0, 3])
    facts = json.loads((out / "slides.json").read_text())
    assert facts["not_yet"] == ["with the target's own sets, seed 0"]
    assert "Not yet there" in (out / "slides.md").read_text() and fake_world.done == 2


@pytest.mark.parametrize("how", [{"freeze_trunk": True}, {"objective": "components"}])
def test_a_store_of_a_frozen_encoder_is_projected(
    fake_world: Any, slide_world: SlideWorld, tmp_path: Path, how: dict[str, Any]
) -> None:
    frozen = tmp_path / "frozen.safetensors"
    frozen.write_text(json.dumps({"skill": 1, "seed": 0}))
    (tmp_path / "codes").mkdir()
    base = {**how, "weights": frozen, "code_size": 32}
    cohort = {"slides": [], "store": tmp_path / "codes"}
    study(tmp_path, cohort, counts=[0, 3], base=base)
    assert not slide_world.compressed and len(slide_world.projected) == 2  # all tasks, and the control
    assert all(each["store"] == tmp_path / "codes" for each in slide_world.projected)
    assert len(slide_world.trained) == 3 and (tmp_path / "codes").is_dir()


@pytest.mark.parametrize(
    ("cohort", "values", "words"),
    [
        ({"labels": None}, {}, "--cohort-labels is missing"),
        ({"target": []}, {}, "--cohort-target is missing"),
        ({"labels": "absent.csv"}, {}, "no label table absent.csv"),
        ({"own_sets": ["liver"]}, {}, "names 'liver'"),
        ({"own_sets": list(NAMES)}, {}, "All sets are the target's own"),
        ({"augments": ["strong"]}, {}, "no augmentation 'strong'"),
        ({"store": "x"}, {}, "Slides and a store"),
        ({"store": "x", "slides": []}, {}, "not freeze_trunk"),
        ({}, {"base": {"objective": "components"}}, "no store"),
        ({"train": {"store": "x"}}, {}, "'store' stands under 'train'"),
        ({"train": {"fold": 5}}, {}, "fold"),
        ({"compress": {"precison": "32"}}, {}, "precision"),
        ({}, {"counts": [4]}, "there are 3 sets"),
        ({"minutes": 5}, {"cluster": "tcp://a:1"}, "--cohort-minutes and --cluster"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_trained(
    cohort: dict[str, Any], values: dict[str, Any], words: str,
    fake_world: Any, slide_world: SlideWorld, tmp_path: Path,
) -> None:  # fmt: skip
    with pytest.raises(SettingsError, match=words):
        study(tmp_path, cohort, **values)
    assert not fake_world.trainings and not slide_world.compressed
