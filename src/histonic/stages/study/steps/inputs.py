"""What the result of each step depends on, by content: maps, tables, networks, and settings as resolved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from histonic.core.errors import HistonicError, RunError, TableError
from histonic.core.files import files_below, hash_of
from histonic.core.settings import Settings
from histonic.data.maps.facts import read_map_facts
from histonic.data.maps.remote.mirror import local_folder
from histonic.data.maps.store import Store, map_folder
from histonic.data.tables.files import read_table
from histonic.runs.documents import RunSettings
from histonic.runs.run import read_cohort, read_facts, read_settings
from histonic.stages.audit.settings import AuditSettings
from histonic.stages.explain.settings import ExplainSettings
from histonic.stages.predict.settings import ExternalSettings, PredictSettings
from histonic.stages.report.settings import ReportSettings
from histonic.stages.study.steps.records import MadeOf
from histonic.stages.train.cohort import cohort_of
from histonic.stages.train.run_files import FREE_SETTINGS
from histonic.stages.train.settings import TrainSettings

SAYS_NOTHING = ("device", "batch", "workers", "dry_run")
"""Settings that change how a step is done and not what comes out, but for training."""


def hashed(value: Any) -> str:
    """Hash of plain values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def plain(settings: Settings, exclude: Iterable[str] = ()) -> dict[str, Any]:
    """Settings as plain values without paths, of which the content counts.

    Example:
        >>> found = plain(ReportSettings(run="run", resamples=200))
        >>> "run" in found, found["resamples"], found["subgroups"]
        (False, 200, [])
    """
    paths = [
        key
        for key, field in type(settings).model_fields.items()
        if "Path" in str(field.annotation) or "Url" in str(field.annotation)
    ]
    values: dict[str, Any] = settings.model_dump(mode="json", exclude={*paths, *exclude})
    return values


def maps_hash(store: Path, slide_ids: Iterable[str] | None = None) -> str:
    """Hash of maps: of their codes, masks and facts.

    Raises:
        StoreError: The store is mixed or damaged.
    """
    opened = Store.open(store)
    names = sorted(opened.slide_ids if slide_ids is None else slide_ids)
    facts = (read_map_facts(map_folder(store, name)) for name in names)
    return hashed([[each.slide_id, each.content, each.sha256] for each in facts])


def table_hash(path: Path, sheet: str | None) -> str:
    """Hash of the cells of a table: a file that is saved again has the same.

    Raises:
        TableError: It cannot be read.
    """
    table = read_table(path, sheet=sheet)
    return hashed([table.columns, table.frame.index.tolist(), table.frame.to_numpy().tolist()])


def tables_hash(settings: Any) -> str:
    """Hash of the label table of some settings, and of the table that names its slides.

    Raises:
        TableError: One cannot be read.
    """
    found = [table_hash(settings.labels, settings.label_sheet)]
    if settings.slide_table is not None:
        found.append(table_hash(settings.slide_table, settings.slide_sheet))
    return hashed(found)


def folder_hash(folder: Path | None) -> str:
    """Hash of a file, or of names and content of all files of a folder; empty if there is none."""
    if folder is None or not folder.exists():
        return ""
    if folder.is_file():
        return hash_of(folder)
    found = ((path, path.relative_to(folder).as_posix()) for path in files_below(folder) if path.is_file())
    return hashed([[name, hash_of(path)] for path, name in found])


def run_hash(run: Path) -> str:
    """Hash of a finished run: ``run.json`` holds those of all its files.

    Raises:
        RunError: It is not finished, or damaged.
    """
    read_facts(run)
    return hash_of(run / "run.json")


def _of_training(settings: TrainSettings) -> MadeOf:
    found = cohort_of(settings)
    told = found.described.to_dict()
    patients = told["patients"]

    def of(*keys: str) -> str:
        return hashed([[each["patient_id"], *(each.get(key) for key in keys)] for each in patients])

    tasks = [each.to_dict() for each in found.cohort.tasks]
    codings = {name: coding.text for name, coding in found.cohort.codings.items()}
    used = [slide_id for patient in found.cohort.patients for slide_id in patient.slide_ids]
    return MadeOf(
        plain(settings, exclude=FREE_SETTINGS),
        {
            "labels": hashed([of("targets", "causes"), tasks, codings]),
            "slides of patients": of("slide_ids"),
            "split": hashed([told["split"], of("site", "tested_in", "validates_in", "unused_in")]),
            "who is left out": hashed([told["exclusions"], told["counts"]]),
            "maps": maps_hash(local_folder(settings.store), used),
        },
    )


def _of_audit(settings: AuditSettings) -> MadeOf:
    others = {name: folder_hash(_chief_file(Path(path))) for name, path in settings.other.items()}
    return MadeOf(
        plain(settings, exclude={"other"}),
        {
            "labels": tables_hash(settings),
            "maps": maps_hash(local_folder(settings.store)),
            "other cohorts": hashed(others),
        },
    )


def _chief_file(path: Path) -> Path:
    """What stands for another cohort: of a run its cohort, of a store the list of its tissue."""
    for name in ("cohort.json", "tissue.csv"):
        if (path / name).is_file():
            return path / name
    return path


def _of_explanation(settings: ExplainSettings) -> MadeOf:
    inputs = {"the run": run_hash(settings.run), "annotations": folder_hash(settings.masks)}
    store = local_folder(settings.store or read_facts(settings.run).store)
    return MadeOf(plain(settings), {**inputs, "maps": maps_hash(store)})


def _of_external(settings: ExternalSettings) -> MadeOf:
    return MadeOf(
        plain(settings, exclude=SAYS_NOTHING),
        {
            "the run": run_hash(settings.run),
            "labels": tables_hash(settings),
            "maps": maps_hash(local_folder(settings.store)),
        },
    )


def _of_report(settings: ReportSettings) -> MadeOf:
    run = settings.run
    facts = read_facts(run)
    inputs = {"the run": run_hash(run)}
    store = local_folder(settings.store or facts.store)
    if store.is_dir():
        inputs["maps"] = maps_hash(store)
    cohort = {slide_id for patient in read_cohort(run).patients for slide_id in patient.slide_ids}
    shown = [path for path in run.glob("explain/*/*/*/explanation.json") if path.parent.name in cohort]
    inputs["explanations"] = _files_hash(run, shown)
    inputs["other cohorts"] = hashed(
        [_files_hash(run, run.glob(f"external/*/{name}")) for name in ("external.json", "predictions/*.csv")]
    )
    inputs["labels"] = _tables_of_run(read_settings(run), settings.labels)
    figures = None if settings.figures is None else str(settings.figures)
    return MadeOf({**plain(settings), "figures": figures}, inputs)


def _tables_of_run(settings: RunSettings, moved: Any) -> str:
    """Hash of the tables of a run, of which the report reads sex, age and site also where nobody asks."""
    labels = settings.labels if moved is None else moved
    places = [(labels, settings.label_sheet), (settings.slide_table, settings.slide_sheet)]
    found = []
    for path, sheet in places:
        if isinstance(path, Path) and path.is_file():
            try:
                found.append(table_hash(path, sheet))
            except TableError:  # the report says so, or does without it
                found.append(hash_of(path))
    return hashed(found)


def _of_prediction(settings: PredictSettings) -> MadeOf:
    bundle = settings.bundle
    facts = bundle / "bundle.json" if (bundle / "bundle.json").is_file() else bundle / "bundle/bundle.json"
    if not facts.is_file():
        raise RunError(f"Predict by {bundle}.", "It is no bundle.", "Train first.")
    found = [_slides_hash(place) if isinstance(place, Path) else str(place) for place in settings.slides]
    return MadeOf(
        plain(settings, exclude=SAYS_NOTHING), {"the networks": hash_of(facts), "slides": hashed(found)}
    )


def _slides_hash(path: Path) -> str:
    if path.suffix == ".csv":
        return folder_hash(path)
    try:
        return maps_hash(path)
    except HistonicError:
        return folder_hash(path)


def _files_hash(folder: Path, paths: Iterable[Path]) -> str:
    return hashed([[path.relative_to(folder).as_posix(), hash_of(path)] for path in sorted(paths)])


MADE_OF: Mapping[str, Callable[[Any], MadeOf]] = {
    "train": _of_training,
    "audit": _of_audit,
    "explain": _of_explanation,
    "external": _of_external,
    "report": _of_report,
    "predict": _of_prediction,
}
"""By verb; the others compare slides and results by themselves."""
