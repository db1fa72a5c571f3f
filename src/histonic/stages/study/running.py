"""The steps of a study run one after the other; what is finished is not done again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from histonic.core.documents import read_values
from histonic.core.errors import RunError
from histonic.core.files import hash_of, write_json
from histonic.core.progress import Progress
from histonic.core.settings import make_settings
from histonic.data.maps.store import Store, map_folder, read_map_facts
from histonic.stages.compress.compress import compress
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.encoder.settings import TrainEncoderSettings
from histonic.stages.encoder.train import train_encoder
from histonic.stages.explain.explain import explain
from histonic.stages.explain.settings import ExplainSettings
from histonic.stages.predict.predict import predict
from histonic.stages.predict.settings import PredictSettings
from histonic.stages.report.report import write_report
from histonic.stages.report.settings import ReportSettings
from histonic.stages.study.frame.plan import Place, Step
from histonic.stages.tiles.extract import extract_tiles
from histonic.stages.tiles.settings import ExtractSettings
from histonic.stages.train.settings import TrainSettings
from histonic.stages.train.train import train_slides

VERBS: Mapping[str, tuple[type[Any], Callable[..., Any]]] = {
    "encoder train": (TrainEncoderSettings, train_encoder),
    "tiles extract": (ExtractSettings, extract_tiles),
    "compress": (CompressSettings, compress),
    "train": (TrainSettings, train_slides),
    "report": (ReportSettings, write_report),
    "predict": (PredictSettings, predict),
    "explain": (ExplainSettings, explain),
}
"""What each verb takes, and does."""
ONCE = ("report", "predict")
"""Verbs that do all their work again where nothing says that it is done; the others go on by themselves."""


def run_step(place: Place, step: Step, progress: Progress) -> None:
    """Do what one command does.

    Raises:
        HistonicError: As of the verb; RunError if not one slide could be used.
    """
    model, verb = VERBS[step.verb]
    values = dict(step.settings)
    if step.verb == "explain":  # of a slide that failed there is no map
        there = set(Store.open(Path(values["store"])).slide_ids)
        values["slide"] = [name for name in values["slide"] if name in there]
    settings = make_settings(model, values, f"the settings of {step.verb}")
    if step.verb in ONCE:
        mark, made_of = place.out / "done" / f"{step.verb}.json", _inputs(place, step)
        if _is_done(step, mark, made_of):
            progress.say(f"{step.verb} is done already")
            return
        result = verb(settings, progress=progress)
        _tell_failures(step, result, progress)
        write_json(mark, {"made of": made_of, "gave": _output_hash(step)})
        return
    _tell_failures(step, verb(settings, progress=progress), progress)


def _tell_failures(step: Step, result: Any, progress: Progress) -> None:
    failures = getattr(result, "failures", [])
    for failure in failures:
        words = failure if isinstance(failure, tuple) else (failure.path, failure.stage, failure.reason)
        progress.say(f"failed  {'  '.join(map(str, words))}")
    there = [*getattr(result, "done", []), *getattr(result, "skipped", [])]
    if failures and step.verb in ("compress", "tiles extract") and not there:
        raise RunError(
            f"Go on after {step.verb} ({step.title}).",
            f"Not one of {len(failures)} slides could be used.",
            "Look at the reasons above.",
        )


def _inputs(place: Place, step: Step) -> str:
    """A hash of what a step depends on: settings, networks and maps."""
    parts = [json.dumps(step.settings, sort_keys=True)]
    for path in (place.run / "run.json", place.run / "bundle" / "bundle.json"):
        parts.append(hash_of(path) if path.is_file() else "")
    for name in step.settings.get("slides", []):
        store = Store.open(Path(name))
        parts += [read_map_facts(map_folder(store.path, slide)).content for slide in store.slide_ids]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _output(step: Step) -> Path:
    return (
        Path(step.settings["out"]) if step.verb == "predict" else Path(step.settings["run"]) / "report.html"
    )


def _output_hash(step: Step) -> str:
    path = _output(step)
    return hash_of(path) if path.is_file() else ""


def _is_done(step: Step, mark: Path, made_of: str) -> bool:
    if not mark.is_file() or not _output(step).is_file():
        return False
    try:
        known = read_values(mark, RunError, "Delete it.")
    except RunError:
        return False
    return bool(known == {"made of": made_of, "gave": _output_hash(step)})
