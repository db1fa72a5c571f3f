"""The file of a study as text: settings with what they are for, and why they were chosen so."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from histonic.core.errors import SettingsError
from histonic.core.places.frames import FrameTable
from histonic.core.places.images import HeldSlide
from histonic.core.places.urls import Url
from histonic.core.settings import Settings, plain_settings
from histonic.data.tables.issues import list_names
from histonic.data.tables.settings import TableSettings
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.explain.settings import ExplainSettings
from histonic.stages.report.settings import ReportSettings
from histonic.stages.study.file.labels_found import KNOWN, Candidate, LabelsFound
from histonic.stages.study.file.settings import InitStudySettings
from histonic.stages.study.file.slides_found import SlidesFound
from histonic.stages.train.settings import TrainSettings

WIDTH = 108
MOST_SHOWN = 8
COMPRESS_MORE = ("orientations", "leave_out", "stride_share", "masks", "private")
TRAIN_MORE = ("aggregator", "quick", "repeats", "seed", "private")
REPORT_MORE = ("subgroups", "clinical")
EXPLAIN_MORE = ("method", "all_slides", "masks")


Guesses = Sequence[tuple[Path, str]]
"""What could be meant, and why it was not taken."""


class StudyText:
    """Lines of a commented YAML file."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def comment(self, text: str, indent: int = 0) -> None:
        """A remark, broken at the width of the page."""
        start = f"{' ' * indent}# "
        self._lines += textwrap.wrap(
            " ".join(text.split()),
            WIDTH,
            initial_indent=start,
            subsequent_indent=start,
            break_long_words=False,
            break_on_hyphens=False,
        )

    def key(self, name: str, value: Any, indent: int = 2, why: str = "") -> None:
        """A setting and what it is for; long lists have an entry a line."""
        plain = f"{' ' * indent}{name}: {flow(value)}"
        if why and len(plain) + len(why) + 4 <= WIDTH:
            self._lines.append(f"{plain}  # {why}")
            return
        if why:
            self.comment(why, indent)
        if isinstance(value, list) and value and len(plain) > WIDTH:
            self._lines.append(f"{' ' * indent}{name}:")
            self._lines += [f"{' ' * indent}- {flow(each)}" for each in value]
        else:
            self._lines.append(plain)

    def unused(self, name: str, value: Any, why: str, indent: int = 2) -> None:
        """A setting that is not used, to be taken by removing the mark before it."""
        self._lines.append(f"{' ' * indent}# {name}: {flow(value)}   # {' '.join(why.split())}")

    def head(self, name: str) -> None:
        """The beginning of a part."""
        self._lines += ["", f"{name}:"]

    def raw(self, line: str = "") -> None:
        """A line as it is."""
        self._lines.append(line)

    def text(self) -> str:
        """The file."""
        return "\n".join(self._lines) + "\n"


def flow(value: Any) -> str:
    """A value on one line of YAML.

    Example:
        >>> flow(["a", 1, None]), flow("x: y"), flow("no")
        ('[a, 1, null]', "'x: y'", "'no'")
    """
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**9, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def study_text(
    settings: InitStudySettings,
    slides: SlidesFound | None,
    labels: LabelsFound | None,
    external: SlidesFound | None,
    external_labels: LabelsFound | None,
    *,
    guesses: Mapping[str, Guesses],
    workers: int,
) -> str:
    """The file of a study.

    Args:
        settings: What was asked for.
        slides: Those of the study; None if there are none yet.
        labels: Their table; None likewise.
        external: Slides of another cohort; None if there is none.
        external_labels: Their table.
        guesses: Under ``slides`` and ``labels`` what could be meant where several could.
        workers: Networks to train side by side on this machine.
    """
    text = StudyText()
    name = settings.file.name
    text.raw("# A whole study in one file, for histonic.")
    text.raw(
        f"#   histonic run {name} --dry-run    what is done, what will be done and why, and how long it takes"
    )
    text.raw(f"#   histonic run {name}              does it; the same command goes on after an interruption")
    text.comment(
        "Each part has the settings of the command of its name; 'histonic compress --help' explains all of "
        "them. What is left out has its default. A changed line redoes what depends on it, and nothing else. "
        "Paths start at the folder of this file."
    )
    text.raw()
    text.raw("# Maps, runs and reports go here.")
    out = (
        _path(settings.file, settings.out) if "out" in settings.model_fields_set else settings.out.as_posix()
    )
    text.key("out", out, indent=0)
    _write_compress(text, settings, slides, guesses.get("slides", ()))
    _write_train(text, settings, labels, guesses.get("labels", ()), workers)
    text.head("audit")
    text.comment(
        "What but the tissue could explain the labels: copies, sites, scanners, colour. 'audit: no' leaves "
        "it out.",
        2,
    )
    text.unused("confounder", ["COLUMN"], "further columns of the label table to be tested (batch, age ...)")
    text.head("explain")
    text.comment("What on the slides speaks for a prediction. 'explain: no' leaves it out.", 2)
    text.key(
        "patients",
        ExplainSettings.model_fields["patients"].default,
        why="most certain, and as many least certain, patients of each target",
    )
    _more(text, ExplainSettings, EXPLAIN_MORE)
    text.head("report")
    text.key(
        "resamples",
        ReportSettings.model_fields["resamples"].default,
        why="resamples of the patients for the 95 % intervals",
    )
    _more(text, ReportSettings, REPORT_MORE)
    _write_external(text, settings, external, external_labels)
    return text.text()


def _write_compress(
    text: StudyText, settings: InitStudySettings, slides: SlidesFound | None, guesses: Guesses
) -> None:
    text.head("compress")
    if slides is None:
        text.comment("No slides were found: name slide files, folders, or a table with a column path.", 2)
        text.key("slides", [])
        for path, why in guesses:
            text.unused("slides", [_path(settings.file, path)], why)
    else:
        count = f"{len(slides.rows)} slides" + (
            f", {slides.opened} of them opened" if slides.opened < len(slides.rows) else ""
        )
        mpps = ", ".join(f"{mpp:g} ({count})" for mpp, count in slides.mpps[:MOST_SHOWN])
        text.comment(f"{count}; microns per pixel (slides): {mpps or 'not known'}", 2)
        for note in slides.notes:
            text.comment(note, 2)
        text.key("slides", [_path(settings.file, each) for each in slides.given])
        if slides.names != "file":
            text.key("names", slides.names)
        _write_mpp(text, settings, slides)
        if slides.enlarged is not None:
            text.key("most_enlargement", slides.enlarged)
        if slides.unreadable:
            text.comment(f"{len(slides.unreadable)} cannot be read, and will be listed as failures:", 2)
            for reason in slides.unreadable[:MOST_SHOWN]:
                text.comment(f"  {reason}", 2)
    if settings.sheet:
        text.key("sheet", list(settings.sheet))
    encoder = settings.encoder
    if Path(encoder).is_file():
        encoder = _path(settings.file, Path(encoder))  # the study reads it from its own folder
    text.key("encoder", encoder, why="tiles to codes; 'histonic list' names others")
    if settings.masks is not None:
        text.key("masks", _path(settings.file, settings.masks))
    _more(text, CompressSettings, [key for key in COMPRESS_MORE if key != "masks" or settings.masks is None])


def _write_mpp(text: StudyText, settings: InitStudySettings, slides: SlidesFound) -> None:
    if settings.mpp is not None:
        text.key("mpp", settings.mpp, why="microns per pixel of slides whose header does not say, as given")
    if slides.without_mpp:
        text.comment(
            f"{len(slides.without_mpp)} of {slides.opened} slides do not say their resolution, such as "
            f"{slides.without_mpp[0]}; without it they are left out. If it is the same for all, say it here, "
            "else in the column mpp of a table of slides:",
            2,
        )
        text.raw("  # mpp: 0.5")


def _write_train(
    text: StudyText,
    settings: InitStudySettings,
    labels: LabelsFound | None,
    guesses: Guesses,
    workers: int,
) -> None:
    text.head("train")
    if labels is None:
        text.comment(
            "No label table was found: a table (CSV, Excel ...) that names patients and their labels.", 2
        )
        text.key("labels", None)
        for path, why in guesses:
            text.unused("labels", _path(settings.file, path), why)
        text.key(
            "target",
            list(settings.target),
            why="NAME:KIND:COLUMN; kinds: binary, multiclass, ordinal, regression, survival",
        )
    else:
        named, with_slide = labels.patients
        text.comment(f"{named} patients in the table, {with_slide} of them with a slide", 2)
        for note in labels.notes:
            text.comment(note, 2)
        text.key("labels", _path(settings.file, labels.path))
        for key, value in table_values(settings, labels).items():
            text.key(key, value)
        _write_targets(text, settings, labels)
        _write_split(text, labels)
    smallest = _smallest(labels)
    folds = TrainSettings.model_fields["folds"].default
    if smallest is not None and smallest < folds:
        text.comment(f"the smallest class has {smallest} patients: expect wide intervals", 2)
        folds = 3
    text.key(
        "folds", folds, why="cross-validation by patient: in turn 1 part tests, 1 validates, the rest train"
    )
    text.key(
        "initialisations",
        TrainSettings.model_fields["initialisations"].default,
        why="networks a fold; their predictions are averaged",
    )
    text.key(
        "max_epochs", TrainSettings.model_fields["max_epochs"].default, why="at most; training stops early"
    )
    if workers > 1:
        text.key("workers", workers, why="networks trained side by side: this machine has cores and no GPU")
    _more(text, TrainSettings, TRAIN_MORE)


def table_values(settings: InitStudySettings, labels: LabelsFound) -> dict[str, Any]:
    """Settings of the label table, as far as they were given or found."""
    given = plain_settings(settings)
    values = {
        key: given[key]
        for key in TableSettings.model_fields
        if key in settings.model_fields_set and key not in ("sheet", "columns", "slide_table")
    }
    if settings.slide_table is not None:
        values["slide_table"] = _path(settings.file, settings.slide_table)
    found = {key: value for key, value in labels.reading.items() if value}
    return {**found, **values}


def _write_targets(text: StudyText, settings: InitStudySettings, labels: LabelsFound) -> None:
    chosen = list(settings.target)
    usual = [each for each in labels.candidates if not each.doubt and each.text.lower() not in KNOWN]
    if not chosen and len(usual) == 1:
        chosen = [usual[0].text]
        text.comment("The only column that can be a target:", 2)
    if not chosen:
        text.comment(
            "What is to be predicted? Take one or several (remove the '# '), and change them as needed:", 2
        )
        text.raw("  target:")
        for each in labels.candidates:
            _write_candidate(text, each, "# ")
        if not labels.candidates:
            text.comment("no column was found that can be one; write NAME:KIND:COLUMN", 2)
        return
    text.raw("  target:")
    told = {each.text: each for each in (*labels.targets, *labels.candidates)}
    for target in chosen:
        _write_candidate(text, told.get(target, Candidate(target, "")), "")
    others = [each for each in labels.candidates if each.text not in chosen]
    if others:
        text.comment("others that the table could be asked for:", 2)
    for each in others:
        _write_candidate(text, each, "# ")


def _write_candidate(text: StudyText, each: Candidate, mark: str) -> None:
    text.raw(f"  {mark}- {flow(each.text)}")
    if each.words:
        text.comment(f"    {each.words}", 2)
    if each.doubt:
        text.comment(f"    cannot be used as it is: {each.doubt}", 2)


def _write_split(text: StudyText, labels: LabelsFound) -> None:
    if labels.has_split:
        text.comment("The table has a split of its own, which is used; 'random' would draw another.", 2)
    elif len(labels.sites) > 1:
        sites = ", ".join(f"{site} {count}" for site, count in list(labels.sites.items())[:MOST_SHOWN])
        text.comment(
            f"{len(labels.sites)} sites ({sites}{' ...' if len(labels.sites) > MOST_SHOWN else ''}). "
            "'site' tests each on models that have not seen it, the harder and often fairer question; "
            "'random' mixes them.",
            2,
        )
    text.key("split", "auto")


def _smallest(labels: LabelsFound | None) -> int | None:
    if labels is None:
        return None
    usual = [each for each in labels.candidates if not each.doubt]
    used = labels.targets or (usual if len(usual) == 1 else ())
    return min((each.smallest for each in used if each.smallest is not None), default=None)


def _write_external(
    text: StudyText, settings: InitStudySettings, slides: SlidesFound | None, labels: LabelsFound | None
) -> None:
    text.raw()
    text.comment(
        "Another hospital's cohort, on which the finished networks are tested and nothing is chosen:"
    )
    if slides is None or labels is None:
        text.raw("# external:")
        text.raw("# - name: other")
        text.raw("#   compress: {slides: [OTHER/SLIDES]}")
        text.raw("#   labels: OTHER/LABELS.xlsx")
        return
    text.raw("external:")
    text.raw(f"- name: {flow(settings.external_name)}")
    given: dict[str, Any] = {"slides": [_path(settings.file, each) for each in slides.given]}
    if slides.names != "file":
        given["names"] = slides.names
    if slides.enlarged is not None:
        given["most_enlargement"] = slides.enlarged
    text.raw(f"  compress: {flow(given)}")
    text.comment(
        f"{len(slides.rows)} slides; {labels.patients[1]} of {labels.patients[0]} patients have one", 2
    )
    if slides.without_mpp:
        names = list_names(slides.without_mpp)
        text.comment(f"no resolution: {names}; give mpp under compress, beside slides", 2)
    for note in (*slides.notes, *labels.notes):
        text.comment(note, 2)
    text.key("labels", _path(settings.file, labels.path))
    for key, value in labels.reading.items():
        if value:
            text.key(key, value)


def _more(text: StudyText, model: type[Settings], keys: Sequence[str]) -> None:
    """Settings that are often changed, with their defaults."""
    for key in keys:
        field = model.model_fields[key]
        default = field.get_default()
        value = list(default) if isinstance(default, tuple) else default
        text.unused(key, value, field.description or "")


def _path(file: Path, path: Path | Url | HeldSlide | FrameTable) -> str:
    """A path from the folder of the file; whole if it is far away.

    Raises:
        SettingsError: It is a slide or a table in memory.
    """
    if isinstance(path, Url):
        return path.reveal()
    if not isinstance(path, Path):
        raise SettingsError(
            f"Write {file}.",
            f"{path.name} is in memory, and the file of a study names files.",
            "Save it, and give the path of the file.",
        )
    near = os.path.relpath(path, file.parent)
    return os.path.abspath(path) if near.startswith(os.path.join("..", "..", "..")) else Path(near).as_posix()
