"""The number-of-tasks curve on slides: encoders of 0, 1, 2 ... tasks, each judged by slide networks.

The headline ablation of Tellez et al., Extending unsupervised neural image compression with supervised
multitask learning, MIDL (2020): each encoder compresses the cohort, slide networks are trained on the maps,
and patients that none of them saw are predicted.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from histonic.core.errors import SettingsError
from histonic.core.files import hash_of
from histonic.core.progress import Progress
from histonic.core.settings import make_settings
from histonic.core.task import parse_target
from histonic.data.maps.store import Store
from histonic.data.tilesets.plan import TileSetSettings
from histonic.nn.augmentation.augment import AUGMENT_LEVELS
from histonic.stages.compress.compress import compress
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.encoder.settings import COMPONENTS
from histonic.stages.project.project import project
from histonic.stages.train.settings import TrainSettings
from histonic.stages.train.train import train_slides
from histonic.stages.transfer.evaluator import Evaluator, identity, slug
from histonic.stages.transfer.results import write_results
from histonic.stages.transfer.settings import StudyTasksSettings
from histonic.stages.transfer.slide_curve import (
    Arm,
    Judged,
    curve_facts,
    draw_curves,
    judge_run,
    make_curve,
    render_curves,
)
from histonic.stages.transfer.subsets import draw_subsets

USUAL_COUNTS = (0, 1, 2, 4)
GIVEN_BY_STUDY = ("slides", "encoder", "out", "store", "labels", "target")


@dataclass(frozen=True)
class Trial:
    """One encoder to be judged.

    Attributes:
        arm: The point of the curve that it belongs to.
        sets: What it is trained on; empty for an encoder that is given.
        changes: To the base settings.
        seed: Of its training.
        given: The encoder, where none is trained.
    """

    arm: Arm
    sets: tuple[TileSetSettings, ...]
    changes: dict[str, Any]
    seed: int
    given: str = ""

    @property
    def folder(self) -> str:
        """Below ``runs``."""
        names = ",".join(each.name for each in self.sets)
        how = (self.changes.get("objective", ""), self.changes.get("augment", ""))
        return "/".join(part for part in (f"{self.arm.kind}-{self.arm.tasks}", *how, names) if part)


def study_slides(settings: StudyTasksSettings, progress: Progress | None = None) -> Path:
    """Judge encoders of more and more tasks by slide networks on a cohort.

    Encoders are trained on 0 tasks (without labels), 1, 2, 4 and all of the tile sets that are not the
    target's own (``own_sets``); one more, with these among them, is the positive control. Each compresses the
    cohort, and slide networks are trained by the settings of 'histonic train' (4 folds, 2 networks a fold),
    all on the same folds. What is finished is reused when the same command is given again.

    Args:
        settings: With a cohort.
        progress: Listener to the progress.

    Returns:
        The folder: ``slides.md`` (table and verdict), ``slides.png``, ``slides.csv`` (a row a point),
        ``judged.csv`` (a row an encoder and target), ``slides.json``, ``runs/``, ``slide-runs/``.

    Raises:
        SettingsError: A setting is wrong, or names a set that is not there.
        HistonicError: As training of encoders, compression and training of slides raise it.
    """
    _require_sense(settings)
    began = time.monotonic()
    evaluator = Evaluator(settings, progress, by_tiles=False)
    trials = list(_trials(evaluator, settings))
    if settings.cohort.minutes is None:
        evaluator.train_ahead(lambda: map(partial(_encoder_of, evaluator), trials))
    judged: list[Judged] = []
    waiting: list[Trial] = []
    for trial in trials:
        minutes = settings.cohort.minutes
        late = minutes is not None and time.monotonic() - began > 60 * minutes
        found = _judge(evaluator, settings, trial, only_finished=late)
        judged += found or []
        if found is None:
            waiting.append(trial)
    curves = [
        make_curve(target, [each for each in judged if each.target == target], settings.resamples)
        for target in dict.fromkeys(each.target for each in judged)
    ]
    if not curves:
        raise SettingsError(
            "Draw the curve of the number of tasks.",
            f"No encoder was judged in {settings.cohort.minutes} minutes.",
            "Give the same command again: it goes on.",
        )
    absent = [f"{trial.arm.label}, seed {trial.seed}" for trial in waiting]
    facts = [fact for curve in curves for fact in curve_facts(curve)]
    write_results(
        settings.out,
        "slides",
        tables={"judged": [each.facts() for each in judged], "slides": facts},
        page=render_curves(curves, absent),
        facts={"points": facts, "not_yet": absent, "verdicts": {one.target: one.verdict for one in curves}},
        size=(4.6 * len(curves), 3.8),
        draw=partial(draw_curves, curves),
    )
    if not waiting:
        evaluator.clear_cache()
    return settings.out


def _require_sense(settings: StudyTasksSettings) -> None:
    """Refuse what cannot be studied before anything is trained.

    Raises:
        SettingsError: Says which setting.
    """
    cohort, asked = settings.cohort, "Study the number of tasks on a cohort of slides."
    if cohort.labels is None or not cohort.target:
        lacking = "--cohort-labels" if cohort.labels is None else "--cohort-target"
        raise SettingsError(asked, f"{lacking} is missing.", f"Give {lacking}, as for 'histonic train'.")
    if not cohort.labels.is_file():
        raise SettingsError(asked, f"There is no label table {cohort.labels}.", "Correct --cohort-labels.")
    if cohort.minutes is not None and settings.cluster is not None:
        raise SettingsError(
            asked,
            "--cohort-minutes and --cluster are given; on a cluster all encoders are trained at first.",
            "Give one of them.",
        )
    if cohort.slides and cohort.store is not None:
        raise SettingsError(asked, "Slides and a store are given.", "Give one of them.")
    frozen = bool(settings.base.get("freeze_trunk")) or settings.base.get("objective") == COMPONENTS
    if frozen != (cohort.store is not None):
        kinds = f"freeze_trunk or objective: {COMPONENTS}"
        found = (
            f"base has {kinds}, but there is no store" if frozen else "a store is given, but not freeze_trunk"
        )
        raise SettingsError(
            asked, f"In the settings {found}.", f"A store goes with {kinds} in base, slides without."
        )
    names = {each.name for each in settings.sets}
    if odd := [name for name in cohort.own_sets if name not in names]:
        raise SettingsError(
            asked, f"'own_sets' names {odd[0]!r}.", f"The sets are {', '.join(sorted(names))}."
        )
    if odd := [name for name in cohort.augments if name not in AUGMENT_LEVELS]:
        raise SettingsError(
            asked, f"There is no augmentation {odd[0]!r}.", f"Use one of {', '.join(AUGMENT_LEVELS)}."
        )
    if len(names) == len(set(cohort.own_sets)):
        raise SettingsError(asked, "All sets are the target's own.", "Add sets that are not.")
    called = [parse_target(target).name for target in cohort.target]
    if twice := sorted({name for name in called if called.count(name) > 1}):
        raise SettingsError(asked, f"Two targets are named {twice[0]!r}.", "Study them one after the other.")
    for name, given, model in (
        ("compress", cohort.compress, CompressSettings),
        ("train", cohort.train, TrainSettings),
    ):
        if taken := [key for key in given if key in GIVEN_BY_STUDY]:
            raise SettingsError(
                asked,
                f"{taken[0]!r} stands under '{name}'.",
                "Leave it out: it differs from encoder to encoder.",
            )
        needed = {"store": "s", "labels": "l", "target": (cohort.target[0],), "out": settings.out}
        own = {key: value for key, value in needed.items() if key in model.model_fields}
        make_settings(model, {**own, **given}, f"the settings under 'cohort.{name}'")


def _trials(evaluator: Evaluator, settings: StudyTasksSettings) -> Iterator[Trial]:
    """All encoders: those given, then seed by seed, the ends of the curve and the control first."""
    cohort = settings.cohort
    others = [each for each in settings.sets if each.name not in cohort.own_sets]
    counts = _counts(settings, len(others))
    for name, given in evaluator.given.items():
        yield Trial(Arm("given", 0, name), (), {}, evaluator.first_seed, given)
    every = tuple(settings.sets)
    for seed in evaluator.seeds:
        ends = [count for count in (0, len(others)) if count in counts]
        for count in ends:
            yield from _of_count(settings, others, count, seed)
        if cohort.own_sets:
            yield Trial(Arm("control", len(every), "with the target's own sets"), every, {}, seed)
        for count in counts:
            if count not in ends:
                yield from _of_count(settings, others, count, seed)
        for level in cohort.augments:
            arm = Arm("augment", len(others), f"all tasks, augment {level}")
            yield Trial(arm, tuple(others), {"augment": level}, seed)


def _counts(settings: StudyTasksSettings, most: int) -> list[int]:
    usual = [*(count for count in USUAL_COUNTS if count < most), most]
    counts = sorted(set(settings.counts)) or usual
    if odd := [count for count in counts if not 0 <= count <= most]:
        raise SettingsError(
            "Study the number of tasks.",
            f"'counts' holds {odd[0]}, and there are {most} sets that are not the target's own.",
            f"Use numbers from 0 to {most}.",
        )
    return counts


def _of_count(
    settings: StudyTasksSettings, others: Sequence[TileSetSettings], count: int, seed: int
) -> Iterator[Trial]:
    """Encoders of so many tasks by one seed: one for each choice of sets."""
    if count == 0:
        arm = Arm("curve", 0, "0 tasks")
        if settings.cohort.store is not None:
            yield Trial(arm, (), {}, seed, str(settings.base.get("weights", "")))
            return
        # Its labels are left aside, so its recipe is that of its method, not that of the tasks.
        own = dict.fromkeys(("learning_rate", "decay", "optimizer", "weight_decay", "patience"))
        changes = {"objective": settings.cohort.unsupervised, **own}
        yield Trial(arm, tuple(others), changes, seed)
        return
    by_name = {each.name: each for each in others}
    label = f"{count} task{'s' if count > 1 else ''}"
    # The same choices for every seed: what differs between them is no chance of the training.
    for names in draw_subsets(list(by_name), count, settings.max_subsets, 0):
        yield Trial(Arm("curve", count, label), tuple(by_name[name] for name in names), {}, seed)


def _encoder_of(evaluator: Evaluator, trial: Trial) -> str:
    return trial.given or evaluator.train(trial.changes, trial.sets, trial.folder, trial.seed)


def _judge(
    evaluator: Evaluator, settings: StudyTasksSettings, trial: Trial, *, only_finished: bool
) -> list[Judged] | None:
    """What slide networks make of an encoder, target by target; None if that is not done and not to be."""
    kept = settings.out / "runs" / slug(trial.folder) / f"seed-{trial.seed}" / "encoder.safetensors"
    if only_finished and not trial.given and not kept.is_file():
        return None
    encoder = _encoder_of(evaluator, trial)
    cohort = settings.cohort
    store = settings.out / "stores" / _key(settings, trial, encoder, evaluator.first_seed)
    runs = {
        target: settings.out / "slide-runs" / f"{_target_slug(target)}-{store.name}"
        for target in cohort.target
    }
    if not all((run / "run.json").is_file() for run in runs.values()):
        if only_finished:
            return None
        source = _compressed(evaluator, settings, encoder, store)
        shared: dict[str, Any] = {"seed": evaluator.first_seed, "device": evaluator.device, **cohort.train}
        shared["labels"] = cohort.labels
        for target, run in runs.items():
            train_slides(
                **shared,
                store=source,
                target=(target,),
                out=run,
                progress=evaluator.progress,
            )
        if source == store and not cohort.keep_stores:
            shutil.rmtree(store, ignore_errors=True)
    names = ",".join(each.name for each in trial.sets)
    return [judge_run(trial.arm, names, trial.seed, run) for run in runs.values()]


def _target_slug(target: str) -> str:
    """Its name, and what tells apart targets of one name: kind, columns, classes."""
    return f"{slug(parse_target(target).name)}-{hashlib.sha256(target.encode()).hexdigest()[:6]}"


def _key(settings: StudyTasksSettings, trial: Trial, encoder: str, seed: int) -> str:
    """A name of an encoder's store and runs that no other encoder, cohort or setting shares."""
    cohort = settings.cohort
    facts = {
        "encoder": identity(encoder),
        "slides": [str(each) for each in cohort.slides],
        "store": str(cohort.store),
        "maps": _maps_of(cohort.store),
        "seed": seed,
        "labels": hash_of(cohort.labels) if cohort.labels else "",
        "compress": cohort.compress,
        "train": cohort.train,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:12]
    return f"{slug(trial.arm.label)}-{trial.seed}-{digest}"


def _maps_of(store: Path | None) -> dict[str, str]:
    """What the maps of a given store hold: the hash of each map's facts, which hold that of its arrays."""
    if store is None:
        return {}
    return {path.parent.name: hash_of(path) for path in sorted(store.glob("*.zarr/zarr.json"))}


def _compressed(evaluator: Evaluator, settings: StudyTasksSettings, encoder: str, store: Path) -> Path:
    """The cohort's maps by an encoder.

    Raises:
        SettingsError: Not one slide could be compressed.
    """
    cohort = settings.cohort
    if cohort.store is not None:
        if identity(encoder) == identity(str(settings.base.get("weights", ""))):
            return cohort.store
        project(store=cohort.store, encoder=Path(encoder), out=store, progress=evaluator.progress)
        return store
    values = {"device": evaluator.device, **cohort.compress, "slides": cohort.slides, "encoder": encoder}
    result = compress(**values, out=store, progress=evaluator.progress)
    if not Store.open(store).slide_ids:
        why = result.failures[0].reason if result.failures else "there is none"
        raise SettingsError(
            f"Compress the cohort by {encoder}.",
            f"None of its slides could be: {why}",
            "Look at the slides with 'histonic doctor'.",
        )
    for failure in result.failures:
        evaluator.progress.say(f"left out of every encoder's cohort: {failure.path}: {failure.reason}")
    return store
