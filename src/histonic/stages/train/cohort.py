"""The patients of a training and how they are split, before any network is made."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

from histonic.aggregators.base import first_rate, require_parts, require_streaming
from histonic.aggregators.registry import AGGREGATORS
from histonic.core.cohort import Cohort, Fold
from histonic.core.errors import SettingsError
from histonic.core.task import parse_target
from histonic.data.maps.fusion import fuse_cohort
from histonic.data.maps.remote.opening import open_store
from histonic.data.maps.required import require_maps
from histonic.data.maps.store import Store
from histonic.data.tables.joins import table_patients
from histonic.data.tables.split_files import split_by_files
from histonic.data.tables.styles import NO_SPLIT
from histonic.data.targets.cohorts import LabelTable, build_cohort, read_labels
from histonic.runs.documents import CohortDocument, Made
from histonic.runs.primary import with_primary
from histonic.stages.train import run_files
from histonic.stages.train.search import search_choices
from histonic.stages.train.settings import TrainSettings
from histonic.stages.train.splitting.folds import make_folds
from histonic.stages.train.svm import require_usable

QUICK_AGGREGATOR = "mean"
"""Of a first look: its heads are fitted to the mean code of each slide, by a problem with one solution."""


class FoundCohort(NamedTuple):
    """What maps and label table give a training, before any network is made."""

    settings: TrainSettings
    store: Store
    cohort: Cohort
    made: Made
    folds: tuple[Fold, ...]
    described: CohortDocument


def cohort_of(settings: TrainSettings) -> FoundCohort:
    """The patients of a training, how they are split, and what ``cohort.json`` will say of them.

    Args:
        settings: Of the training; nothing is written.

    Raises:
        SettingsError: A setting is wrong.
        TableError: The label table is wrong.
        CohortError: The patients cannot be joined or split.
        StoreError: The store is empty, mixed or damaged.
    """
    resolved = for_first_look(settings)
    store = _open_store(resolved)
    table = _read_table(resolved)
    cohort = _build_cohort(resolved, table, store)
    parts = store.patient_parts
    for choice in (resolved, *search_choices(resolved)):
        require_parts(choice.aggregator, len(parts))
        if parts and resolved.devices > 1:
            raise SettingsError(
                f"Train on the {len(parts)} parts of {resolved.store} with {resolved.devices} devices.",
                "A batch of one device may hold no patient with some part, and devices wait for each other.",
                "Use --devices 1; --workers trains several networks side by side.",
            )
        first_rate(choice.aggregator, None)
        _require_one_process(resolved, choice.aggregator)
        require_streaming(choice.aggregator, choice.stream_cells)
    require_usable(search_choices(resolved), cohort.tasks)
    made, folds = make_folds(
        fuse_cohort(cohort, "parts" if parts else resolved.fusion),
        resolved.split,
        folds=resolved.folds,
        repeats=resolved.repeats,
        seed=resolved.seed,
    )
    described = run_files.describe_cohort(cohort, made, folds, store, len(table_patients(table)))
    return FoundCohort(resolved, store, cohort, made, folds, described)


def for_first_look(settings: TrainSettings) -> TrainSettings:
    """The settings with what ``quick`` stands for.

    Raises:
        SettingsError: Another network is asked for as well.
    """
    if not settings.quick:
        return settings
    default = TrainSettings.model_fields["aggregator"].default
    if settings.search or settings.aggregator not in (default, QUICK_AGGREGATOR):
        found = f"--search {', '.join(settings.search)}" if settings.search else settings.aggregator
        raise SettingsError(
            f"Take a first look with {found}.",
            f"A first look fits linear models of the mean code ({QUICK_AGGREGATOR}); it trains no networks.",
            "Leave out --quick, or --search and --aggregator.",
        )
    return settings.model_copy(update={"aggregator": QUICK_AGGREGATOR, "initialisations": 1})


def _require_one_process(settings: TrainSettings, aggregator: str) -> None:
    """Refuse processes that would not know an aggregator of this session."""
    several = settings.workers * settings.devices > 1
    if AGGREGATORS.is_of_session(aggregator) and (several or settings.cluster is not None):
        where = f"{settings.workers} workers on {settings.devices} devices"
        raise SettingsError(
            f"Train {aggregator!r} with {where if several else 'a cluster'}.",
            "It was registered in this session, and other processes do not know it.",
            "Use workers=1, devices=1 and no cluster, or put the class into a package with the entry point "
            f"{AGGREGATORS.group}.",
        )


def _open_store(settings: TrainSettings) -> Store:
    store = open_store(settings.store)
    require_maps(store, f"Train on the store {settings.store}.")
    return store


def _read_table(settings: TrainSettings) -> LabelTable:
    own = settings.split in ("random", "site")
    if own and settings.splits is not None:
        raise SettingsError(
            f"Split as {settings.splits} says, and {settings.split}.",
            "Only one can be.",
            "Leave out --splits or --split.",
        )
    unused = NO_SPLIT if own or settings.splits is not None else {}
    reading = {**settings.reading(), "columns": {**settings.columns, **unused}}
    table = read_labels(settings.labels, **reading)
    return table if settings.splits is None else split_by_files(table, settings.splits)


def _build_cohort(settings: TrainSettings, table: LabelTable, store: Store) -> Cohort:
    requests = [parse_target(text) for text in settings.target]
    names = [request.name for request in requests]
    for name in names:
        if names.count(name) > 1 or not re.fullmatch(r"[^/\\.\x00][^/\\\x00]*", name):
            raise SettingsError(
                f"Train the targets {', '.join(names)}.",
                f"{name!r} is named twice, or cannot name a file.",
                "Give each target a name of its own, without slashes: NAME:KIND:COLUMN.",
            )
    cohort = build_cohort(table, requests, store.slide_ids, **settings.meaning())
    if settings.hazard_intervals == 1:
        raise SettingsError(
            "Train hazards in 1 interval.", "One interval tells no time.", "Use 2 or more, or 0 for Cox."
        )
    tasks = tuple(
        replace(task, intervals=settings.hazard_intervals) if task.kind == "survival" else task
        for task in cohort.tasks
    )
    return replace(cohort, tasks=with_primary(tasks, settings.primary))
