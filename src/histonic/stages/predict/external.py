"""A finished run tested on another cohort by all of its networks together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import pandas as pd

from histonic.core.cohort import Cohort, Fold, Patient
from histonic.core.documents import write_document
from histonic.core.errors import BundleError, SettingsError, TableError
from histonic.core.files import replacing_folder
from histonic.core.places.frames import TablePlace
from histonic.core.places.urls import with_whole_path
from histonic.core.progress import Progress, heard
from histonic.core.settings import HIDDEN, plain_settings, resolve
from histonic.core.task import TargetRequest, Task, parse_target
from histonic.data.maps.remote.opening import open_store
from histonic.data.maps.required import require_maps
from histonic.data.maps.store import Store
from histonic.data.tables.copies import store_copies, with_copies
from histonic.data.tables.joins import table_patients
from histonic.data.tables.styles import NO_SPLIT
from histonic.data.targets.classes import join_option
from histonic.data.targets.coding import match_order
from histonic.data.targets.cohorts import LabelTable, build_cohort, read_labels
from histonic.data.targets.survival_columns import has_columns
from histonic.models.bundle import Bundle, read_bundle
from histonic.models.members import prediction_columns
from histonic.runs.documents import Counts, ExternalDocument, SlidesOfPatient
from histonic.runs.files import truth_columns, write_frame
from histonic.runs.run import read_cohort, read_facts, read_kept_settings, read_settings
from histonic.stages.predict.inherited import inherited_meaning, own_event_codings, require_same_follow_up
from histonic.stages.predict.parts import pairs_of, tell_missing
from histonic.stages.predict.pieces import predict_external
from histonic.stages.predict.settings import ExternalKeywords, ExternalSettings
from histonic.stages.predict.time_scale import require_same_time_scale

EXTERNAL_FOLD = -1
"""Stands in the column fold: patients of no fold, predicted by the networks of all folds together."""


def external_test(
    settings: ExternalSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[ExternalKeywords],
) -> Path:
    """Predict another cohort with all networks of a run, beside what its label table says.

    Writes ``RUN/external/NAME/predictions/<task>.csv``, columns as in the run's own predictions (repeat 0,
    fold -1), and ``external.json``; the report then scores them under a heading of their own. Choose
    nothing by this result: a cohort that has had a say in a choice is no external one any more.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``run="run"``, ``store="other/store"``, ``labels="other.csv"``,
            ``name="Utrecht"``.

    Returns:
        The folder of the results; one of the same name is replaced.

    Raises:
        RunError: There is no such run, or it is not finished.
        SettingsError: A target that the run does not have, or another coding of events than the run's.
        BundleError: The maps were made by another encoder or at another resolution than those of the run.
        TableError: The label table is wrong, names a class that the run does not know, has by its names
            another unit of time, or survival times on another scale than the run's.
        CohortError: Nobody can be joined.
        StoreError: The store is empty or a map is damaged.
    """
    resolved = resolve(ExternalSettings, settings, values)
    listener = heard(progress)
    facts, own = read_facts(resolved.run), read_settings(resolved.run)
    private = bool(read_kept_settings(resolved.run).get("private"))
    out = resolved.run / "external" / resolved.name
    resolved = with_copies(resolved, None if private else out)
    codings = own_event_codings(facts, own)
    meaning = inherited_meaning(codings, resolved.event_coding, resolved.event_of_interest)
    bundle = read_bundle(resolved.run / "bundle")
    store = open_store(resolved.store, joined=bool(bundle.parts))
    asked = f"Test {bundle.folder.parent} on the maps of {store.path}."
    for own_bundle, own_store in pairs_of(bundle, store, asked):
        _require_same_maps(own_bundle, own_store)
        _tell_differences(own_bundle, own_store, listener)
    reading = {
        **resolved.reading(),
        "columns": {**resolved.columns, **NO_SPLIT},
        # What the run called one class is one class here, too.
        "classes": {**own.classes, **resolved.classes},
    }
    table = read_labels(resolved.labels, **reading)
    requests, absent = _requests(bundle.tasks, resolved.target, table)
    meaning["event_of_interest"] = [
        each for each in meaning["event_of_interest"] if each.partition("=")[0] not in absent
    ]
    for name in absent:
        listener.say(f"{name} is not tested: {resolved.labels.name} has no such column")
    require_same_follow_up(codings, bundle.tasks, requests, table)
    found = build_cohort(table, requests, store.slide_ids, varied=False, **meaning)
    for note in [*(f"{name}: {coding.text}" for name, coding in found.codings.items()), *found.notes]:
        listener.say(note)
    tested = [task for task in bundle.tasks if task.name not in absent]
    cohort = with_tasks(found, tested, resolved.labels)
    if not resolved.times_differ:
        require_same_time_scale(read_cohort(resolved.run), cohort, resolved.labels)
    tell_missing(bundle, cohort.patients, listener)
    predictions = predict_external(resolved, bundle, store, cohort.patients, listener)
    fold = Fold(EXTERNAL_FOLD, (), (), cohort.patients)
    with replacing_folder(out) as partial:
        store_copies(resolved, partial)
        for task in cohort.tasks:
            joined = prediction_columns(
                task,
                [each[task.name] for each in predictions],
                bundle.members,
                bundle.calls,
                bundle.operating_points,
            )
            frame = pd.DataFrame({**truth_columns(task, cohort, fold), **joined})
            write_frame(partial / "predictions" / f"{task.name}.csv", frame)
        write_document(
            partial / "external.json", _facts(resolved, private, store, cohort, len(table_patients(table)))
        )
    return out


def with_tasks(cohort: Cohort, tasks: Sequence[Task], path: TablePlace) -> Cohort:
    """The cohort with the classes numbered as the run has them.

    Args:
        cohort: As its own table has it.
        tasks: Of the run, in the same order.
        path: The label table, for the message.

    Raises:
        TableError: A class that the run does not know.
    """
    places: dict[str, dict[float, float]] = {}
    for mine, task in zip(cohort.tasks, tasks, strict=True):
        if not task.is_classification:
            continue
        unknown = [name for name in mine.classes if name not in task.classes]
        if unknown:
            raise TableError(
                f"Test the target {task.name!r} on {path.name}.",
                f"The run does not know {', '.join(map(repr, unknown))}; it knows {', '.join(task.classes)}.",
                "Write the classes as in the table the run was trained with, join them "
                f"({join_option(unknown[:1], 'CLASS')}), or leave these rows empty.",
            )
        places[task.name] = {float(k): float(task.classes.index(name)) for k, name in enumerate(mine.classes)}
    return replace(
        cohort, tasks=tuple(tasks), patients=tuple(_recoded(each, places) for each in cohort.patients)
    )


def _recoded(patient: Patient, places: dict[str, dict[float, float]]) -> Patient:
    targets = {
        name: places[name][value] if name in places and not isinstance(value, tuple) else value
        for name, value in patient.targets.items()
    }
    return replace(patient, targets=targets)


def _tell_differences(bundle: Bundle, store: Store, progress: Progress) -> None:
    """Say what else differs that changes no map."""
    allowed, usual = store.settings.most_enlargement, bundle.compress_settings.most_enlargement
    if allowed > usual:
        progress.say(
            f"its slides may be enlarged up to {allowed:g} times, those of the run up to {usual:g} times"
        )
    if store.settings.mask != bundle.compress_settings.mask:
        progress.say("other values or classes of masks are tissue in its maps than in those of the run")


def _require_same_maps(bundle: Bundle, store: Store) -> None:
    asked = f"Test {bundle.folder.parent} on the maps of {store.path}."
    precision = bundle.compress_settings.precision
    todo = bundle.how_to_make_maps(
        f"Compress the slides with --encoder {bundle.encoder_path} --precision {precision} and the "
        "other settings of the run's own maps."
    )
    require_maps(store, asked)
    if store.encoder.fingerprint != bundle.encoder.fingerprint:
        found = f"They were made by {store.encoder.name!r}, those of the run by {bundle.encoder.name!r}"
        raise BundleError(asked, f"{found} (or the same name with other weights or precision).", todo)
    its, wanted = store.settings.to_dict(), bundle.compress_settings.to_dict()
    # What was allowed changes no map; masks of another program have other values. Both are said.
    allowed = ("most_enlargement", "mask")
    other = [key for key in {**wanted, **its} if its.get(key) != wanted.get(key) and key not in allowed]
    if other:
        raise BundleError(asked, f"They were made with another setting of {', '.join(other)}.", todo)


def _requests(
    tasks: Sequence[Task], given: Sequence[str], table: LabelTable
) -> tuple[list[TargetRequest], list[str]]:
    """The run's targets, with the columns of the other table where they are given, and those it lacks."""
    named = {request.name: request for request in map(parse_target, given)}
    unknown = [name for name in named if name not in {task.name for task in tasks}]
    if unknown:
        raise SettingsError(
            f"Test the target {unknown[0]!r}.",
            f"The run has the targets {', '.join(task.name for task in tasks)}.",
            "Give --target only for those whose columns differ.",
        )
    for task in tasks:
        _require_same_order(task, named.get(task.name))
    requests = [
        TargetRequest(task.name, task.kind, named[task.name].columns if task.name in named else task.columns)
        for task in tasks
    ]
    here = [each for each in requests if each.name in named or has_columns(table, each.columns)]
    # With none of them the table's own error says what is absent.
    here = here or requests
    return here, [each.name for each in requests if each not in here]


def _require_same_order(task: Task, request: TargetRequest | None) -> None:
    """Refuse an order or a positive class that is not the run's, whose networks cannot be turned round."""
    if request is None:
        return
    given = match_order(request.order, task.classes)
    turned = request.positive and not match_order((request.positive,), task.classes[-1:])
    if turned or given != [name for name in task.classes if name in given]:
        found = (
            f"the positive class is {task.classes[-1]!r}"
            if task.kind == "binary"
            else f"the order is {' < '.join(task.classes)}"
        )
        raise SettingsError(
            f"Test the target {task.name!r} with another meaning of its classes.",
            f"In the run {found}.",
            f"Leave it out: {task.name}:{task.kind}:COLUMN; or train again.",
        )


def _facts(
    settings: ExternalSettings, private: bool, store: Store, cohort: Cohort, patients_in_table: int
) -> ExternalDocument:
    return ExternalDocument(
        name=settings.name,
        store=Path(HIDDEN) if private else with_whole_path(settings.store),
        labels=Path(HIDDEN) if private else Path(str(settings.labels)),
        settings=plain_settings(settings, private=private),
        patients=tuple(
            SlidesOfPatient(patient_id=each.patient_id, site=each.site, slide_ids=each.slide_ids)
            for each in cohort.patients
        ),
        exclusions=cohort.exclusions,
        counts=Counts(
            slides_in_store=len(store.slide_ids),
            slides_used=sum(len(each.slide_ids) for each in cohort.patients),
            patients_in_table=patients_in_table,
            patients_used=len(cohort.patients),
        ),
        codings=cohort.codings,
    )
