"""Maps and a label table to a cross-validated, patient-level model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch

from histonic.aggregators.base import first_rate
from histonic.core.claims import sole_owner
from histonic.core.cohort import Cohort, Fold, patients_without
from histonic.core.compressed import PatientPart
from histonic.core.documents import write_document
from histonic.core.errors import SettingsError
from histonic.core.files import hash_of
from histonic.core.places.urls import with_whole_path
from histonic.core.processes.ranks import launched
from histonic.core.processes.shared import CAN_SHARE
from histonic.core.progress import Listener, Progress, heard, say_detail, say_may_end_early, warn
from histonic.core.settings import HIDDEN, resolve
from histonic.data.maps.facts import read_map_facts
from histonic.data.maps.fusion import fuse_cohort
from histonic.data.maps.remote.opening import fetch_maps
from histonic.data.maps.store import Store, map_folder
from histonic.data.tables.copies import with_copies
from histonic.data.tables.issues import list_names
from histonic.models.bundle import BundleFacts, write_bundle
from histonic.models.familiarity import Familiarity, familiarity_of
from histonic.models.session import code_of_session
from histonic.models.trained import Trained, read_network
from histonic.runs.documents import FIRST_LOOK, CohortDocument, RunDocument, SlidesGiven
from histonic.runs.files import clear_leftovers, require_same_origin, versions
from histonic.stages.train import run_files
from histonic.stages.train.cohort import cohort_of, for_first_look
from histonic.stages.train.networks import read_losses, train_networks
from histonic.stages.train.own_encoder import find_encoder
from histonic.stages.train.pieces import open_networks, plan_of, require_sendable, train_pieces
from histonic.stages.train.plan import Network, Plan
from histonic.stages.train.search import search_choices
from histonic.stages.train.settings import TrainKeywords, TrainSettings
from histonic.stages.train.thresholds import choose_thresholds, require_thresholds, wanted_points
from histonic.training.devices import make_fabric, run_on
from histonic.training.ranks import led


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
    resolved = for_first_look(resolve(TrainSettings, settings, values))
    resolved = with_copies(resolved, None if resolved.private else resolved.out)
    listener = heard(progress)
    require_sendable(resolved)
    return led(
        resolved.devices,
        lambda devices: make_fabric(resolved.device, devices, resolved.precision),
        lambda devices: _train_slides(resolved.model_copy(update={"devices": devices}), listener),
        lambda: resolved.out,
    )


def _train_slides(resolved: TrainSettings, listener: Listener) -> Path:
    """The training of the process that leads."""
    if resolved.quick:
        listener.say(FIRST_LOOK)
    found = cohort_of(resolved)
    _, store, cohort, made, folds, described = found
    parts = store.patient_parts
    say_detail(
        listener,
        f"{store.path}: {len(store.slide_ids)} maps; {len(cohort.patients)} patients "
        f"of {resolved.labels} have both",
    )
    if _is_finished(resolved, described, listener):
        return resolved.out
    plan = plan_of(found, listener)
    for fold in folds:
        # Before hours of training: whether the inner folds can be made, and hazards have events.
        plan.trials(fold)
        _require_events(cohort, fold)
        _tell_unseen_classes(cohort, fold, listener)
        require_thresholds(cohort, fold, resolved, listener)
    for name, coding in cohort.codings.items():
        listener.say(f"{name}: {coding.text}")
    for note in (*cohort.notes, *_part_notes(cohort, parts)):
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


def _part_notes(cohort: Cohort, parts: Sequence[PatientPart]) -> list[str]:
    """Which patients lack a part."""
    names = [part.name for part in parts]
    without = patients_without(names, {each.patient_id: each.slide_ids for each in cohort.patients})
    return [
        f"{len(found)} of {len(cohort.patients)} patients have no slide of the part {name!r} and are kept: "
        f"{list_names(found)}"
        for name, found in without.items()
    ]


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
            warn(
                progress,
                f"{task.name}: no training patient of fold {fold.number + 1} is {list_names(unseen)}, "
                "which is therefore never predicted there",
            )


def _train(
    plan: Plan, store: Store, described: CohortDocument, progress: Progress
) -> tuple[list[Trained], Familiarity | None]:
    """All networks, trained now or before, and what their maps look like."""
    settings = plan.settings
    several = settings.workers > 1 or settings.devices > 1
    fetch_maps(store, _used(plan), progress)
    fabric = None
    if settings.cluster is None:
        fabric = make_fabric(settings.device, settings.devices, settings.precision)
        kind = fabric.device.type
        if settings.workers > 1 and (kind != "cpu" or settings.devices > 1):
            raise SettingsError(
                f"Train with {settings.workers} workers.",
                f"They are processes on the CPU; asked for is {settings.devices} x {kind}.",
                "Give --device cpu, or --workers 1.",
            )
        say_detail(
            progress,
            f"{settings.aggregator} on {settings.devices} x {kind}, precision {settings.precision}, "
            f"{settings.workers} at a time, {torch.get_num_threads()} threads",
        )
    maps = plan.read_maps(progress, shared=several)
    run_files.write_begin(settings.out, settings, described)
    require_same_origin(plan.checkpoints / "origin.json", _origin(plan, store))
    progress.stage("train", plan.epochs)
    say_may_end_early(progress)
    # Where memory cannot be shared, processes of their own read the maps for themselves.
    # Nor can those that torchrun started.
    given = maps if (CAN_SHARE and launched() is None) or not several else None

    def train_all(train: Callable[[Sequence[Network]], None]) -> list[Network]:
        if settings.search:
            train(plan.all_trials())
        losses = read_losses(plan)
        run_files.write_search(settings.out, settings, losses)
        kept = plan.all_networks(losses)
        train(kept)
        return kept

    if settings.workers > 1 or fabric is None:
        with open_networks(plan, given, progress) as executor:
            kept = train_all(lambda some: train_pieces(executor, some, plan))
    else:
        kept = train_all(
            lambda some: run_on(fabric, settings.devices, train_networks, (plan, some, given), progress)
        )
    trained = [read_network(plan.path(network)) for network in kept]
    if plan.parts:
        # The mean code of a joined map says more of how much there is of each part than of its stain.
        return trained, None
    return trained, familiarity_of(maps.moments, fuse_cohort(plan.cohort, plan.fusion).patients)


def _used(plan: Plan) -> list[str]:
    return [slide_id for patient in plan.cohort.patients for slide_id in patient.slide_ids]


def _origin(plan: Plan, store: Store) -> dict[str, Any]:
    return {
        "versions": versions(),
        **(
            {"parts": [part.to_dict() for part in plan.parts]}
            if plan.parts
            else {"encoder": store.encoder.fingerprint, "map settings": store.settings.to_dict()}
        ),
        **_own_code(plan),
        "slides": {
            slide_id: read_map_facts(map_folder(store.path, slide_id)).content for slide_id in _used(plan)
        },
    }


def _own_code(plan: Plan) -> dict[str, Any]:
    """Hashes of aggregators of this session, whose code may have changed since a run was interrupted."""
    used = {choice.aggregator for choice in (plan.settings, *search_choices(plan.settings))}
    own = code_of_session(used)
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
    encoders = {}
    for part, own in (store.parts or {"": store}).items():
        if (encoder := find_encoder(own)) is not None:
            encoders[part] = encoder
            continue
        tool = own.encoder.spec.tool
        why = f"was run by {tool}" if tool else f"no longer lies in the store {own.path}"
        warn(progress, f"the encoder {own.encoder.name!r} {why}: the bundle will predict from maps only")
    first = next(iter(store.parts.values()), store)
    facts = BundleFacts(
        tasks=plan.cohort.tasks,
        fusion=plan.fusion,
        test_crops=settings.test_crops,
        encoder=first.encoder,
        compress_settings=first.settings,
        codings=plan.cohort.codings,
        calls=settings.calls,
        operating_points=points,
        quick=settings.quick,
        parts=plan.parts,
    )
    alone = encoders.pop("", None)
    fingerprint = write_bundle(out / "bundle", facts, trained, alone, plan.tile_heads, familiar, encoders)
    run_files.write_predictions(out, plan.cohort, plan.folds, trained, settings.calls, points)
    run_files.write_networks(out, plan.cohort, plan.folds, trained, settings.calls)
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
        store=Path(HIDDEN) if settings.private else with_whole_path(settings.store),
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
