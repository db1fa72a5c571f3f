"""Steps run one after the other: what is done and still right is not done again, all else anew or further."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from histonic.core.errors import HistonicError, RunError
from histonic.core.files import hash_of, set_aside
from histonic.core.progress import Progress
from histonic.core.settings import Settings, make_settings
from histonic.data.maps.integrity import FACTS_FILE
from histonic.data.maps.remote.mirror import local_folder
from histonic.data.maps.store import Store, map_folder
from histonic.runs.run import read_facts
from histonic.stages.audit.audit import audit
from histonic.stages.audit.settings import AuditSettings
from histonic.stages.compress.compress import CompressResult, compress
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.encoder.settings import TrainEncoderSettings
from histonic.stages.encoder.train import train_encoder
from histonic.stages.explain.explain import explain
from histonic.stages.explain.files import write_summary
from histonic.stages.explain.settings import ExplainSettings
from histonic.stages.predict.external import external_test
from histonic.stages.predict.predict import predict
from histonic.stages.predict.settings import ExternalSettings, PredictSettings
from histonic.stages.report.report import write_report
from histonic.stages.report.settings import ReportSettings
from histonic.stages.study.steps.inputs import MADE_OF, plain
from histonic.stages.study.steps.maps import MapsFound, clear_maps, find_maps, keep_aside
from histonic.stages.study.steps.records import (
    MadeOf,
    StepRecord,
    keep_record,
    read_record,
    reason_words,
    record_path,
    versions,
)
from histonic.stages.study.steps.step import Step
from histonic.stages.tiles.extract import extract_tiles
from histonic.stages.tiles.settings import ExtractSettings
from histonic.stages.train.cohort import cohort_of
from histonic.stages.train.run_files import require_same_run
from histonic.stages.train.settings import TrainSettings
from histonic.stages.train.train import train_slides

VERBS: Mapping[str, tuple[type[Any], Callable[..., Any]]] = {
    "encoder train": (TrainEncoderSettings, train_encoder),
    "tiles extract": (ExtractSettings, extract_tiles),
    "compress": (CompressSettings, compress),
    "audit": (AuditSettings, audit),
    "train": (TrainSettings, train_slides),
    "explain": (ExplainSettings, explain),
    "external": (ExternalSettings, external_test),
    "report": (ReportSettings, write_report),
    "predict": (PredictSettings, predict),
}
"""What each verb takes, and does."""
EARLIER = "earlier"
"""Folder of results that were finished and are no longer those of the study."""
REPORT_FILES = ("report.html", "report.json", "report.pdf", "report-cases-*.html")
"""Patterns of what a report writes into the run, beside checklists."""
CHECKLIST_SUFFIXES = ("html", "csv", "md")
Kind = Literal["done", "goes on", "to do"]


@dataclass(frozen=True)
class StepState:
    """Where a step stands.

    Attributes:
        step: The step.
        settings: Its settings as a model.
        kind: ``done``; ``goes on``: begun with the same settings and data; ``to do``.
        reasons: Why it is to be done though it was before; empty if it never was.
        record: Of what was done before.
        made_of: What it depends on now; None for those that compare it by themselves.
        maps: Of a compression, what the store holds.
    """

    step: Step
    settings: Settings
    kind: Kind
    reasons: tuple[str, ...] = ()
    record: StepRecord | None = None
    made_of: MadeOf | None = None
    maps: MapsFound | None = None


def look_at(folder: Path, step: Step) -> StepState:
    """Whether a step is done, and if not, why; nothing is changed.

    Args:
        folder: Of the study.
        step: All that it needs is there.

    Raises:
        HistonicError: A setting is wrong, or something that it depends on cannot be read.
    """
    model, _ = VERBS[step.verb]
    values = dict(step.settings)
    if step.verb == "explain" and "store" in values:  # of a slide that failed there is no map
        failed = {failure.slide_id for failure in Store.open(Path(values["store"])).failures()}
        values["slide"] = [name for name in values.get("slide", []) if name not in failed]
    settings = make_settings(model, values, f"the settings of {step.verb}")
    record = read_record(folder, step.name)
    if step.verb == "compress":
        found = find_maps(settings, record)
        kind: Kind = "done" if found.is_done else "goes on" if not found.reasons() else "to do"
        return StepState(step, settings, kind, tuple(found.reasons()), record, _of_maps(found), found)
    if step.verb not in MADE_OF:
        return StepState(step, settings, "to do")
    made_of = MADE_OF[step.verb](settings)
    if record is None:
        # A training by the single command is taken as it is, or gone on with.
        kind = "goes on" if step.verb == "train" and _fits(settings) else "to do"
        return StepState(step, settings, kind, (), None, made_of)
    reasons = record.changes(made_of, plain(model.model_construct()))
    if not record.is_finished:
        if record.versions != versions():
            reasons.append("packages have other versions than when it began")
        kind = "to do" if reasons else "goes on"
    else:
        reasons = reasons or record.damaged(folder)
        kind = "to do" if reasons else "done"
    return StepState(step, settings, kind, tuple(reasons), record, made_of)


def run_step(folder: Path, step: Step, progress: Progress, known: StepState | None = None) -> Any:
    """Do what one command does, unless that is done already.

    Results of before that no longer fit are taken away first: whole runs and stores to ``earlier``.

    Args:
        folder: Of the study.
        step: The step.
        progress: Listener to the progress.
        known: Where it stands, if that was looked at just now.

    Returns:
        What the verb gives; None if the step was done already.

    Raises:
        HistonicError: As of the verb; RunError if not one slide could be used.
    """
    state = known or look_at(folder, step)
    if state.kind == "done":
        progress.say(f"{step.verb} is done already")
        return None
    if state.reasons:
        progress.say(f"  {reason_words(list(state.reasons))}")
    if state.kind == "to do":
        _clear(folder, state)
        if state.made_of is not None:
            keep_record(folder, step.name, StepRecord.begun(state.made_of))
    began = time.monotonic()
    result = VERBS[step.verb][1](state.settings, progress=progress)
    failed = tell_failures(step, result, progress)
    if state.made_of is not None:
        written = _outputs(step, state.settings, result)
        # The report explains what is absent: what is there now is what it shows.
        made_of = MADE_OF["report"](state.settings) if step.verb == "report" else state.made_of
        record = StepRecord.begun(made_of)
        changes = {
            # An explanation without checks is made again, with them, by the report.
            "outputs": {
                _name(each, folder): "" if step.verb == "explain" else hash_of(each) for each in written
            },
            # Of maps the store itself says what failed; all else is tried again as a whole.
            "is_finished": not failed or step.verb == "compress",
            **_pace(state, result, time.monotonic() - began),
        }
        keep_record(folder, step.name, record.model_copy(update=changes))
    return result


def tell_failures(step: Step, result: Any, progress: Progress) -> int:
    """Say what failed; how many did.

    Raises:
        RunError: Not one slide could be used.
    """
    failures: Sequence[Any] = getattr(result, "failures", [])
    for failure in failures:
        words = failure if isinstance(failure, tuple) else (failure.path, failure.stage, failure.reason)
        progress.say(f"failed  {'  '.join(map(str, words))}")
    there = [*getattr(result, "done", []), *getattr(result, "skipped", [])]
    if failures and step.verb in ("compress", "tiles extract") and not there:
        raise RunError(
            f"Go on after {step.words}.",
            f"Not one of {len(failures)} slides could be used.",
            "Look at the reasons above.",
        )
    return len(failures)


def drop_report(folder: Path, run: Path) -> None:
    """Take a report away that shows what is made anew now; a checklist that was filled in is moved.

    Args:
        folder: Of the study.
        run: Of the report.
    """
    for path in _written_files(run, REPORT_FILES):
        path.unlink(missing_ok=True)
    record = read_record(folder, "report")
    for name, known in {} if record is None else dict(record.outputs).items():
        path = folder / name
        if path.name.startswith("checklist-") and path.is_file():
            if hash_of(path) != known:
                keep_aside(path, folder / EARLIER)
            path.unlink(missing_ok=True)
    shutil.rmtree(run / "ordered", ignore_errors=True)


def _written_files(run: Path, patterns: Iterable[str]) -> list[Path]:
    found = (path for pattern in patterns for path in run.glob(pattern))
    return sorted(path for path in found if path.is_file())


def _of_report(settings: ReportSettings) -> list[Path]:
    """What a report has written: its page, checklists, and figures for a paper."""
    lists = (f"checklist-{name}.{suffix}" for name in settings.checklist for suffix in CHECKLIST_SUFFIXES)
    found = _written_files(settings.run, (*REPORT_FILES, *lists))
    if settings.figures is not None:
        table = settings.figures / "figures.csv"
        drawn = [settings.figures / name for name in pd.read_csv(table, dtype=str)["file"]]
        found += [table, *drawn, *(path.with_suffix(".csv") for path in drawn)]
    return found


def drop_explanations(folder: Path, record: StepRecord) -> None:
    """Delete the explanations that a step made; those of the single command stay.

    Args:
        folder: Of the study.
        record: Of the step.
    """
    made = {(folder / name).parent for name in record.outputs}
    for path in made:
        set_aside(path)
    for method in {path.parents[1] for path in made}:
        if any(method.glob("*/*/explanation.json")):
            write_summary(method)
        else:
            set_aside(method)


def forget(folder: Path, name: str) -> None:
    """Remove the record of a step, so that it is done again."""
    record_path(folder, name).unlink(missing_ok=True)


def _fits(settings: TrainSettings) -> bool:
    """Whether a run of which there is no record has the same settings, labels and maps."""
    out = settings.out
    if not (out / "settings.yaml").is_file():
        return False
    found = cohort_of(settings)
    try:
        require_same_run(out, found.settings, found.described)
    except HistonicError:
        return False
    run = out / "run.json"
    if not run.is_file():
        return True  # the training itself compares the maps with those it began with
    used = [slide_id for patient in found.cohort.patients for slide_id in patient.slide_ids]
    made = (map_folder(local_folder(settings.store), slide_id) / FACTS_FILE for slide_id in used)
    return max(path.stat().st_mtime_ns for path in made) < run.stat().st_mtime_ns


def _of_maps(found: MapsFound) -> MadeOf:
    kept = found.settings.model_dump(mode="json", include={"reader", "private", "encoder"})
    return MadeOf(kept, {})


def _clear(folder: Path, state: StepState) -> None:
    """Take away what the step left before; what no record names is not the study's to delete."""
    settings: Any = state.settings
    verb = state.step.verb
    if verb == "compress" and state.maps is not None:
        clear_maps(state.maps, folder / EARLIER)
    elif verb == "train":
        _take_away(settings.out, folder, state, is_finished=(settings.out / "run.json").is_file())
    elif verb == "explain" and state.record is not None:
        drop_explanations(folder, state.record)
    elif verb == "external":
        _take_away(settings.run / "external" / settings.name, folder, state)
    elif verb == "report":
        drop_report(folder, settings.run)
    elif verb == "audit" and settings.out is not None:
        _take_away(settings.out, folder, state)
    elif verb == "predict":
        if state.record is None:
            keep_aside(settings.out, folder / EARLIER)
        settings.out.unlink(missing_ok=True)


def _take_away(path: Path, folder: Path, state: StepState, *, is_finished: bool = False) -> None:
    """Delete what the study made itself and has to make anew; move all else to :data:`EARLIER`."""
    if state.record is None or is_finished:
        keep_aside(path, folder / EARLIER)
    else:
        set_aside(path)


def _outputs(step: Step, settings: Any, result: Any) -> list[Path]:
    """The files by which it is known that the result is still there."""
    if step.verb == "train":
        names = [*read_facts(settings.out).files, "run.json", "bundle/bundle.json"]
        return [settings.out / name for name in names]
    if step.verb == "report":
        return _of_report(settings)
    if step.verb == "explain":
        return sorted({path / "explanation.json" for path in result.folders})
    if step.verb == "external":
        return [path for path in sorted(result.rglob("*")) if path.is_file()]
    if step.verb == "audit" and settings.out is not None:
        return sorted(path for path in settings.out.iterdir() if path.is_file())
    return [settings.out] if step.verb == "predict" else []


def _pace(state: StepState, result: Any, seconds: float) -> dict[str, Any]:
    """How long it took, and how much was done, for how long more of it will take."""
    settings: Any = state.settings
    if isinstance(result, CompressResult):
        if not result.done and state.record is not None:
            return {"seconds": state.record.seconds, "work": state.record.work}
        return {"seconds": seconds, "work": len(result.done)}
    if state.kind != "to do":
        return {"seconds": None, "work": 0}
    if state.step.verb != "train":
        return {"seconds": seconds, "work": 0}
    facts = read_facts(settings.out)
    networks = facts.folds * facts.repeats * facts.initialisations
    slides = len(list((settings.out / "thumbnails").glob("*.jpg")))
    return {"seconds": seconds, "work": networks * slides}


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
