"""Slides and a label table to the file of a study, filled in as far as that can be told by looking."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Unpack

from histonic.core.errors import SettingsError, TableError
from histonic.core.files import write_text
from histonic.core.processes.cores import usable_cores
from histonic.core.progress import Progress, heard
from histonic.core.settings import resolve
from histonic.data.tables.files import TABLE_EXTENSIONS
from histonic.encoders.base import encoder_spec
from histonic.stages.study.file.labels_found import LabelsFound, find_labels
from histonic.stages.study.file.settings import InitStudyKeywords, InitStudySettings
from histonic.stages.study.file.slides_found import SlidesFound, find_study_slides, guess_slides
from histonic.stages.study.file.writing import study_text
from histonic.training.devices import pick_device

MOST_WORKERS = 4
"""Networks that are trained side by side unless more is said: each holds maps in memory."""


@dataclass
class InitResult:
    """What was written.

    Attributes:
        file: The study.
        slides: What is known of its slides; None if there are none yet.
        labels: What is known of its label table; None likewise.
        lines: For the reader: what was found, and what is still to be filled in.
    """

    file: Path
    slides: SlidesFound | None = None
    labels: LabelsFound | None = None
    lines: list[str] = field(default_factory=list)


def init_study(
    settings: InitStudySettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[InitStudyKeywords],
) -> InitResult:
    """Write one commented file for a whole study, after a look at slides and labels.

    Headers of the slides are read, and every column of the label table that could be a target is told with
    its classes. A target is filled in only if it was given, or if there is but one column that can be one.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``slides=["slides"]``, ``labels="labels.xlsx"``,
            ``target=["grade"]``.

    Raises:
        SettingsError: The file is there already, or a slide or folder is not.
        TableError: The label table or a table of slides cannot be read.
        EncoderError: There is no such encoder.
        OutputError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "study.yaml"
        >>> init_study(file=file).lines[0]
        'no slides were found beside the file: fill in compress.slides'
    """
    resolved = resolve(InitStudySettings, settings, values)
    listener = heard(progress)
    if resolved.file.exists():
        raise SettingsError(
            f"Write the study {resolved.file}.", "It is there already.", "Give another name, or delete it."
        )
    if bool(resolved.external_slides) != (resolved.external_labels is not None):
        raise SettingsError(
            "Add another cohort.",
            "Only one of its slides and its label table is given.",
            "Give both, --external-slides and --external-labels.",
        )
    result = InitResult(resolved.file)
    spec = encoder_spec(resolved.encoder)
    folder = resolved.file.absolute().parent
    guesses: dict[str, list[tuple[Path, str]]] = {}
    given = resolved.slides
    if not given and folder.is_dir():
        guessed = guess_slides(folder, folder / resolved.out)
        guesses["slides"] = [(path, "holds slides") for path in guessed]
        given = tuple(guessed) if len(guessed) == 1 else ()
    if given:
        result.slides = find_study_slides(
            given,
            spec,
            mpp=resolved.mpp,
            names=resolved.names,
            sheet=resolved.slide_sheet,
            progress=listener,
        )
    slide_ids = [] if result.slides is None else [row.slide_id for row in result.slides.rows]
    if resolved.labels is not None:
        result.labels = find_labels(resolved, resolved.labels, slide_ids)
    elif folder.is_dir():
        found, guesses["labels"] = _guess_labels(resolved, folder, slide_ids)
        result.labels = found[0] if len(found) == 1 else None
    external, external_labels = None, None
    if resolved.external_slides and resolved.external_labels is not None:
        external = find_study_slides(
            resolved.external_slides, spec, mpp=None, names="file", sheet=None, progress=listener
        )
        plain = InitStudySettings(file=resolved.file, target=resolved.target)
        names = [row.slide_id for row in external.rows]
        external_labels = find_labels(plain, resolved.external_labels, names)
    workers = min(usable_cores(), MOST_WORKERS) if pick_device("auto") == "cpu" else 1
    text = study_text(
        resolved, result.slides, result.labels, external, external_labels, guesses=guesses, workers=workers
    )
    write_text(resolved.file, text)
    result.lines = _told(resolved, result)
    return result


def _guess_labels(
    settings: InitStudySettings, folder: Path, slide_ids: list[str]
) -> tuple[list[LabelsFound], list[tuple[Path, str]]]:
    """Tables beside the file that name patients, and all tables with what stands against each."""
    found, told = [], []
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith((".", "~$"))
        if hidden or path.suffix.lower() not in TABLE_EXTENSIONS or not path.is_file():
            continue
        try:
            labels = find_labels(settings, path, slide_ids)
        except TableError as error:
            told.append((path, error.reason))
            continue
        found.append(labels)
        told.append((path, f"{labels.patients[0]} patients, {labels.patients[1]} with a slide"))
    fitting = [each for each in found if each.patients[1]]
    return fitting or found, told


def _told(settings: InitStudySettings, result: InitResult) -> list[str]:
    lines = []
    if result.slides is None:
        lines.append("no slides were found beside the file: fill in compress.slides")
    else:
        lines.append(f"{len(result.slides.rows)} slides")
        if result.slides.without_mpp:
            lines.append(
                f"{len(result.slides.without_mpp)} of them do not say their resolution: fill in compress.mpp"
            )
        lines += list(result.slides.notes)
        if result.slides.unreadable:
            lines.append(f"{len(result.slides.unreadable)} of them cannot be read")
    if result.labels is None:
        lines.append("no label table could be taken: fill in train.labels and train.target")
        return lines
    lines.append(
        f"{result.labels.path.name}: {result.labels.patients[0]} patients, "
        f"{result.labels.patients[1]} with a slide"
    )
    lines += list(result.labels.notes)
    for each in result.labels.targets:
        lines.append(f"{each.text}: {each.doubt or each.words}")
    usable = [each for each in result.labels.candidates if not each.doubt]
    if not settings.target:
        lines.append(
            f"{len(usable)} columns can be targets: {', '.join(each.text for each in usable[:12]) or 'none'}"
        )
    return lines
