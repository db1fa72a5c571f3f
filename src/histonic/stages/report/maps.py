"""Where the model looks: what the report shows of explanations, computed if it is absent."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from histonic.core.cohort import folder_name
from histonic.core.errors import HistonicError
from histonic.core.files import hash_of
from histonic.core.progress import Progress
from histonic.core.task import Task
from histonic.data.maps.remote.mirror import local_folder
from histonic.data.maps.store import thumbnail_path
from histonic.runs.run import Run
from histonic.stages.explain.choice import chosen_patients
from histonic.stages.explain.explain import explain_read_run
from histonic.stages.explain.files import read_records
from histonic.stages.explain.record import FOLDER, UNSIGNED, Explanation, prediction_words, summary_row
from histonic.stages.explain.settings import ExplainSettings
from histonic.stages.explain.values import common_scale, greatest_value
from histonic.stages.report.cases.content import explained_files
from histonic.stages.report.cases.pictures import pair_picture
from histonic.stages.report.document.sections import ExplainedSlide, ExplanationsSection

METHOD = "integrated-gradients"
PATIENTS = 2
"""Most certain, and as many least certain, patients of a target; one where there are many targets."""
MANY_TARGETS = 4
TILES_PX = 760
QUALITY = 72
NUMBERS = ("gain", "deletion", "insertion", "random", "randomised", "lesion_cells", "auc", "auc_randomised")


def report_explanations(run: Run, progress: Progress) -> ExplanationsSection:
    """What the page says of the most and least certain patients of each target.

    Explanations that lie in the run are shown as they are; what is absent is computed if bundle and store are
    at hand.

    Args:
        run: The run.
        progress: ConfounderResult what cannot be had.
    """
    problem = ""
    scales: dict[str, float] = {}
    targets: dict[str, list[ExplainedSlide]] = {}
    bundle = run.folder / "bundle" / "bundle.json"
    if not bundle.is_file():
        problem = "The run holds no bundle, so that nothing can be explained."
        return ExplanationsSection(problem=problem, method=METHOD, targets=targets)
    try:
        fingerprint = hash_of(bundle)
        for task in run.tasks:
            targets[task.name], reasons = _of_target(run, task, fingerprint, progress)
            problem = problem or " ".join(reasons[:1])
            # Of all patients that were explained, be they on the page or not.
            folders = [_folder(run, each) for each in _records(run, task, fingerprint).values()]
            scales[task.name] = common_scale(folders)
    except HistonicError as error:
        progress.say(f"no explanations: {error.found}")
        problem = (
            f"There are no maps of what the model looks at: {error.found} {error.todo} "
            f"Then run histonic explain {run.folder}, and the report again."
        )
    return ExplanationsSection(problem=problem, method=METHOD, targets=targets, scales=scales)


def _of_target(
    run: Run, task: Task, bundle: str, progress: Progress
) -> tuple[list[ExplainedSlide], list[str]]:
    """What is shown of one target, and why the rest could not be explained."""
    reasons = []
    count = PATIENTS if len(run.tasks) <= MANY_TARGETS else 1
    roles = chosen_patients(run.tables[task.name], count)
    patients = {each.patient_id: each for each in run.cohort.patients}
    slides = {name: patients[name].slide_ids[0] for name in roles if name in patients}
    known = _records(run, task, bundle)
    absent = tuple(slide for slide in slides.values() if slide not in known)
    if absent:
        settings = ExplainSettings(run=run.folder, target=(task.name,), slide=absent, method=METHOD)
        result = explain_read_run(run, settings, progress)
        for _, slide, reason in result.failures:
            progress.say(f"{task.name}, {slide}: not explained: {reason}")
            reasons.append(reason)
        known = _records(run, task, bundle)
    shown = [
        _shown(run, known[slide], roles[name], len(patients[name].slide_ids))
        for name, slide in slides.items()
        if slide in known
    ]
    return shown, reasons


def _records(run: Run, task: Task, bundle: str) -> dict[str, Explanation]:
    """Checked records of one target by slide, as far as they explain the networks that lie in the run."""
    return {
        record.slide_id: record
        for record in read_records(run.folder / FOLDER / METHOD)
        if record.target == task.name
        and record.inputs.bundle == bundle
        and record.unseen
        # Of the usual output and with its checks: a map without them is not shown.
        and record.inputs.output is None
        and record.curves
    }


def _folder(run: Run, record: Explanation) -> Path:
    return run.folder / FOLDER / record.method / record.target / folder_name(record.slide_id)


def _shown(run: Run, record: Explanation, role: str, slides: int) -> ExplainedSlide:
    row, kind, truth = summary_row(record), record.kind, record.truth
    if isinstance(truth, tuple):
        truth = f"event at {truth[0]:g}" if truth[1] else f"no event until {truth[0]:g}"
    elif truth is not None and not isinstance(truth, str):
        truth = f"{truth:.3g}"
    alone = slides == 1 or record.joined
    return ExplainedSlide(
        patient_id=record.patient_id,
        slide_id=record.slide_id,
        slides=slides,
        role=role,
        prediction=prediction_words(record.prediction, kind),
        of_patient=prediction_words(
            (None if alone else record.patient_prediction) or record.prediction, kind
        ),
        joined=record.joined,
        truth=truth or "unknown",
        output=record.output,
        better=record.curves is not None and record.curves.is_better,
        above_baseline=record.shrinkage > 0,
        note=record.picture_note,
        folder=f"{FOLDER}/{record.method}/{record.target}/{folder_name(record.slide_id)}",
        greatest=greatest_value(_folder(run, record)),
        **{key: getattr(row, key) for key in NUMBERS},
    )


def explained_places(run: Run, explanations: ExplanationsSection) -> dict[tuple[str, str], str]:
    """By target and slide_id where an explanation can be looked at: on the page, or a file of the run."""
    bundle = run.folder / "bundle" / "bundle.json"
    if not bundle.is_file():
        return {}
    shown = {
        item.folder: place_of(number, place)
        for number, task in enumerate(run.tasks)
        for place, item in enumerate(explanations.targets.get(task.name, ()))
    }
    folder = f"{FOLDER}/{METHOD}"
    return explained_files(read_records(run.folder / folder), folder, hash_of(bundle), shown)


def place_of(target: int, number: int) -> str:
    """Where on the page an explanation stands.

    Example:
        >>> place_of(0, 2)
        'map-1-3'
    """
    return f"map-{target + 1}-{number + 1}"


def explanation_pictures(run: Run, explanations: ExplanationsSection) -> dict[str, dict[str, str]]:
    """Map and sheet of every shown slide as data URIs, by their folder; empty if damaged.

    All maps of a target have one colour scale.
    """
    signed = explanations.method not in UNSIGNED
    found = {}
    for name, target in explanations.targets.items():
        for shown in target:
            folder = run.folder / shown.folder
            places = (
                run.thumbnail(shown.slide_id),
                thumbnail_path(local_folder(run.facts.store), shown.slide_id),
            )
            picture = next((place for place in places if place.is_file()), None)
            pair = pair_picture(folder, picture, explanations.scales.get(name, 1.0), signed=signed)
            found[shown.folder] = {"overlay": pair, "tiles": _small(folder / "tiles.png", TILES_PX)}
    return found


def _small(path: Path, width: int) -> str:
    buffer = io.BytesIO()
    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB")
    except OSError:
        return ""
    small.thumbnail((width, 2 * width))
    small.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
