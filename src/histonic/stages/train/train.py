"""Maps and a label table to a cross-validated, patient-level model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import numpy as np

from histonic.aggregators.base import first_rate, require_streaming, wants_tile_heads
from histonic.aggregators.registry import AGGREGATORS
from histonic.core.claims import sole_owner
from histonic.core.cohort import Cohort, Fold
from histonic.core.documents import write_document
from histonic.core.errors import EncoderError, HistonicError, SettingsError, StoreError
from histonic.core.files import hash_of
from histonic.core.processes.shared import CAN_SHARE
from histonic.core.progress import Progress, Silent, say_may_end_early
from histonic.core.registry import code_hash
from histonic.core.settings import HIDDEN, resolve
from histonic.core.task import parse_target
from histonic.data.maps.fusion import fuse_cohort
from histonic.data.maps.store import Store, encoder_path, map_folder, read_map_facts
from histonic.data.tables.copies import with_copies
from histonic.data.tables.issues import list_names
from histonic.data.tables.joins import table_patients
from histonic.data.tables.split_files import split_by_files
from histonic.data.tables.styles import NO_SPLIT
from histonic.data.targets.cohorts import LabelTable, build_cohort, read_labels
from histonic.encoders.base import Encoder, load_encoder
from histonic.encoders.shipped import MULTITASK, SHIPPED
from histonic.encoders.tile_heads import HEADS_FILE, heads_beside, load_slide_heads
from histonic.models.bundle import BundleFacts, write_bundle
from histonic.models.familiarity import Familiarity, familiarity_of
from histonic.models.trained import Trained, read_network
from histonic.nn.heads import Heads
from histonic.runs.documents import FIRST_LOOK, CohortDocument, Made, RunDocument, SlidesGiven
from histonic.runs.files import clear_leftovers, require_same_origin, versions
from histonic.runs.primary import with_primary
from histonic.stages.train import run_files
from histonic.stages.train.folds import make_folds
from histonic.stages.train.networks import read_losses, train_networks
from histonic.stages.train.plan import Network, Plan, assign
from histonic.stages.train.search import search_choices
from histonic.stages.train.settings import TrainKeywords, TrainSettings
from histonic.stages.train.svm import require_usable
from histonic.stages.train.thresholds import choose_thresholds, require_thresholds, wanted_points
from histonic.training.devices import make_fabric, run_on, run_side_by_side

QUICK_AGGREGATOR = "mean"
"""Of a first look: its heads are fitted to the mean code of each slide, by a problem with one solution."""


def train_slides(
    settings: TrainSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[TrainKeywords],
) -> Path:
    """Cross-validate a slide network by patient, and write predictions and a portable bundle.

    Every patient is predicted by networks that never saw that patient. An interrupted run goes on with
    the same command, and ends with the same bytes as an undisturbed one; a finished run is left as it is.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``store="store"``, ``labels="labels.csv"``, ``target=["grade"]``,
            ``out="run"``.

    Returns:
        The run's folder.

    Raises:
        SettingsError: A setting is wrong, or a device does not exist.
        TableError: The label table is wrong.
        CohortError: The patients cannot be joined or split.
        StoreError: The store is empty, mixed or damaged, or a map holds a NaN.
        TrainingError: The folder holds another run, or a loss is no longer finite.
        RunError: Another process trains into the folder.
        OutputError: The run cannot be written.
    """
    resolved = _for_first_look(resolve(TrainSettings, settings, values))
    resolved = with_copies(resolved, None if resolved.private else resolved.out)
    listener = progress or Silent()
    if resolved.quick:
        listener.say(FIRST_LOOK)
    store, cohort, made, folds, described = cohort_of(resolved)
    if _is_finished(resolved, described, listener):
        return resolved.out
    wanted = any(wants_tile_heads(choice.aggregator) for choice in search_choices(resolved))
    heads = find_tile_heads(store, listener) if wanted else None
    plan = Plan(resolved, cohort, made, folds, resolved.out / "checkpoints", heads)
    for fold in folds:
        # Before hours of training: whether the inner folds can be made, and hazards have events.
        plan.trials(fold)
        _require_events(cohort, fold)
        _tell_unseen_classes(cohort, fold, listener)
        require_thresholds(cohort, fold, resolved, listener)
    for name, coding in cohort.codings.items():
        listener.say(f"{name}: {coding.text}")
    for note in cohort.notes:
        listener.say(note)
    if made in ("fixed", "given folds") and resolved.folds != TrainSettings.model_fields["folds"].default:
        count = f"{len(folds)} folds" if made == "given folds" else "one test part"
        listener.say(f"the table's own split has {count}: --folds {resolved.folds} is not used")
    if len(cohort.tasks) > 1 and plan.sees_all:
        listener.say(
            "with a survival target every step sees all training patients, so that the classes of the other "
            "targets are not balanced; --risk-sets batch balances them"
        )
    with sole_owner(resolved.out, f"Train into {resolved.out}."):
        # Looked at again: another process may have finished it just now.
        if not _is_finished(resolved, described, listener):
            trained, familiar = _train(plan, store, described, listener)
            _write_results(plan, store, trained, familiar, listener)
    return resolved.out


class FoundCohort(NamedTuple):
    """What maps and label table give a training, before any network is made."""

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
    resolved = _for_first_look(settings)
    store = _open_store(resolved)
    table = _read_table(resolved)
    cohort = _build_cohort(resolved, table, store)
    for choice in (resolved, *search_choices(resolved)):
        first_rate(choice.aggregator, None)
        _require_one_process(resolved, choice.aggregator)
        require_streaming(choice.aggregator, choice.stream_cells)
    require_usable(search_choices(resolved), cohort.tasks)
    made, folds = make_folds(
        fuse_cohort(cohort, resolved.fusion),
        resolved.split,
        folds=resolved.folds,
        repeats=resolved.repeats,
        seed=resolved.seed,
    )
    described = run_files.describe_cohort(cohort, made, folds, store, len(table_patients(table)))
    return FoundCohort(store, cohort, made, folds, described)


def _for_first_look(settings: TrainSettings) -> TrainSettings:
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
    if AGGREGATORS.is_of_session(aggregator) and settings.workers * settings.devices > 1:
        raise SettingsError(
            f"Train {aggregator!r} with {settings.workers} workers on {settings.devices} devices.",
            "It was registered in this session, and other processes do not know it.",
            "Use workers=1 and devices=1, or put the class into a package with the entry point "
            f"{AGGREGATORS.group}.",
        )


def _is_finished(settings: TrainSettings, described: CohortDocument, progress: Progress) -> bool:
    """Whether the run is finished; a run of other settings or data is refused."""
    run_files.require_same_run(settings.out, settings, described)
    finished = (settings.out / "run.json").is_file()
    if finished:
        progress.say(f"{settings.out} is finished already")
        clear_leftovers(settings.out)
    return finished


def _require_events(cohort: Cohort, fold: Fold) -> None:
    """Refuse more intervals of time than there are events to fill them."""
    for task in cohort.tasks:
        events = int(np.nansum(cohort.targets(task, fold.train)[:, 1])) if task.intervals else 0
        if events < task.intervals:
            raise SettingsError(
                f"Train {task.name!r} with hazards in {task.intervals} intervals.",
                f"Fold {fold.number + 1} has {events} events to learn from.",
                f"Use --hazard-intervals {max(events // 2, 0)} or fewer, or 0 for Cox.",
            )


def _tell_unseen_classes(cohort: Cohort, fold: Fold, progress: Progress) -> None:
    """Say which classes cannot be learned, because no training patient has them."""
    for task in cohort.tasks:
        if not task.is_classification:
            continue
        found = cohort.targets(task, fold.train)
        unseen = [name for index, name in enumerate(task.classes) if not (found == index).any()]
        if unseen:
            progress.say(
                f"{task.name}: no training patient of fold {fold.number + 1} is {list_names(unseen)}, "
                "which is therefore never predicted there"
            )


def _open_store(settings: TrainSettings) -> Store:
    store = Store.open(settings.store)
    if not store.slide_ids:
        raise StoreError(
            f"Train on the store {settings.store}.",
            f"It holds no map ({len(store.failures())} slides failed).",
            "Make maps with 'histonic compress'.",
        )
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


def _train(
    plan: Plan, store: Store, described: CohortDocument, progress: Progress
) -> tuple[list[Trained], Familiarity | None]:
    """All networks, trained now or before, and what their maps look like."""
    settings = plan.settings
    fabric = make_fabric(settings.device, settings.devices, settings.precision)
    if settings.workers > 1 and (fabric.device.type != "cpu" or settings.devices > 1):
        raise SettingsError(
            f"Train with {settings.workers} workers.",
            f"They are processes on the CPU; asked for is {settings.devices} x {fabric.device.type}.",
            "Give --device cpu, or --workers 1.",
        )
    several = settings.workers > 1 or settings.devices > 1
    maps = plan.read_maps(progress, shared=several)
    run_files.write_begin(settings.out, settings, described)
    require_same_origin(plan.checkpoints / "origin.json", _origin(plan, store))
    progress.stage("train", plan.epochs)
    say_may_end_early(progress)
    # Where memory cannot be shared, processes of their own read the maps for themselves.
    given = maps if CAN_SHARE or not several else None

    def train(networks: Sequence[Network]) -> None:
        if settings.workers > 1:
            work = [(plan, part, given) for part in assign(networks, settings.workers)]
            run_side_by_side(train_networks, work, settings.precision, progress)
        else:
            run_on(fabric, settings.devices, train_networks, (plan, networks, given), progress)

    if settings.search:
        train(plan.all_trials())
    losses = read_losses(plan)
    run_files.write_search(settings.out, settings, losses)
    kept = plan.all_networks(losses)
    train(kept)
    patients = fuse_cohort(plan.cohort, settings.fusion).patients
    trained = [read_network(plan.path(network)) for network in kept]
    return trained, familiarity_of(maps.moments, patients)


def _used(plan: Plan) -> list[str]:
    return [slide_id for patient in plan.cohort.patients for slide_id in patient.slide_ids]


def _origin(plan: Plan, store: Store) -> dict[str, Any]:
    return {
        "versions": versions(),
        "encoder": store.encoder.fingerprint,
        "map settings": store.settings.to_dict(),
        **_own_code(plan),
        "slides": {
            slide_id: read_map_facts(map_folder(store.path, slide_id)).content for slide_id in _used(plan)
        },
    }


def _own_code(plan: Plan) -> dict[str, Any]:
    """Hashes of aggregators of this session, whose code may have changed since a run was interrupted."""
    used = {choice.aggregator for choice in (plan.settings, *search_choices(plan.settings))}
    own = {name: code_hash(AGGREGATORS.get(name)) for name in sorted(used) if AGGREGATORS.is_of_session(name)}
    return {"aggregators of the session": own} if own else {}


def _write_results(
    plan: Plan,
    store: Store,
    trained: Sequence[Trained],
    familiar: Familiarity | None,
    progress: Progress,
) -> None:
    """Everything after training; ``run.json`` comes last and says that the run is finished."""
    settings, out = plan.settings, plan.settings.out
    points = wanted_points(settings)
    trained, thresholds = choose_thresholds(plan.cohort, plan.folds, trained, points)
    encoder = find_encoder(store)
    if encoder is None:
        tool = store.encoder.spec.tool
        why = f"was run by {tool}" if tool else f"no longer lies in the store {store.path}"
        progress.say(f"the encoder {store.encoder.name!r} {why}: the bundle will predict from maps only")
    facts = BundleFacts(
        tasks=plan.cohort.tasks,
        fusion=settings.fusion,
        test_crops=settings.test_crops,
        encoder=store.encoder,
        compress_settings=store.settings,
        codings=plan.cohort.codings,
        calls=settings.calls,
        operating_points=points,
        quick=settings.quick,
    )
    fingerprint = write_bundle(out / "bundle", facts, trained, encoder, plan.tile_heads, familiar)
    run_files.write_predictions(out, plan.cohort, plan.folds, trained, settings.calls, points)
    run_files.write_history(out, trained)
    run_files.copy_from_store(out, store, plan.cohort)
    run = RunDocument(
        **dict(facts),
        thresholds=thresholds,
        aggregator=", ".join(sorted({each.member.aggregator for each in trained})),
        split=plan.made,
        histonic=versions()["histonic"],
        versions=versions(),
        seed=settings.seed,
        store=Path(HIDDEN) if settings.private else settings.store.resolve(),
        code_size=trained[0].code_size,
        crop_cells=max(each.member.crop_cells for each in trained),
        folds=len({fold.number for fold in plan.folds}),
        repeats=settings.repeats,
        initialisations=settings.initialisations,
        learning_rate=first_rate(settings.aggregator, settings.learning_rate),
        device=settings.device,
        precision=settings.precision,
        bundle_fingerprint=fingerprint,
        slides_given=SlidesGiven.of(
            read_map_facts(map_folder(store.path, slide_id)).slide for slide_id in _used(plan)
        ),
        files={path.relative_to(out).as_posix(): hash_of(path) for path in run_files.written(out)},
    )
    write_document(out / "run.json", run)
    clear_leftovers(out)


def find_tile_heads(store: Store, progress: Progress | None = None) -> Heads:
    """The heads of the encoder of a store's maps, but those that learned from enlarged objects.

    Args:
        store: The maps.
        progress: Is told which heads are left out.

    Raises:
        EncoderError: There are none, or none that holds on slides.
        TrainingError: Their file is damaged.
    """
    path = heads_beside(encoder_path(store.path))
    name = store.encoder.name
    if path is None and name in SHIPPED and find_encoder(store, name) is not None:
        # Made before stores kept heads.
        path = heads_beside(name)
    if path is None:
        raise EncoderError(
            f"Look at the tiles of the store {store.path} by its encoder's heads.",
            f"The encoder {store.encoder.name!r} has none that belong to it: no multitask encoder, or its "
            f"{HEADS_FILE} was not beside it when the slides were compressed.",
            f"Copy the {HEADS_FILE} of the encoder's own training into the store, compress with "
            f"{MULTITASK}, or use another --aggregator.",
        )
    heads, left_out = load_slide_heads(path)
    for name, times in left_out.items():
        (progress or Silent()).say(
            f"the head {name!r} is left out: the objects it learned from were {times:.1f} times as large as "
            "on a slide"
        )
    return heads


def find_encoder(store: Store, name: str | None = None) -> Encoder | None:
    """The encoder of a store's maps, from beside them or by a name; None if it is gone or another one."""
    try:
        encoder = load_encoder(name or encoder_path(store.path), precision=store.settings.precision)
    except HistonicError:
        return None
    return encoder if encoder.fingerprint == store.encoder.fingerprint else None
