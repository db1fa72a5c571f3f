"""Opening every slide and reading every row before any compute is spent."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Unpack

from histonic.core.errors import HistonicError, SettingsError
from histonic.core.processes.cores import usable_cores
from histonic.core.processes.threads import mapped_by_threads
from histonic.core.progress import Progress, heard
from histonic.core.settings import StainSettings, resolve
from histonic.data.maps.shares import TissueShare, tissue_outliers
from histonic.data.tables.label_table import read_labels
from histonic.data.tables.slide_lists import SlideRow, read_slide_list
from histonic.data.targets.checks import LabelCheck, examine_labels
from histonic.encoders.base import ENCODERS, EncoderSpec
from histonic.encoders.scale import spec_at
from histonic.runs.patient_columns import cells_by_patient
from histonic.stages.compress.inspection import Inspected, inspect_slide
from histonic.stages.compress.masks import require_sensible_masks
from histonic.stages.compress.reading import no_tissue
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.doctor.previews import Previews
from histonic.stages.doctor.result import DoctorLine, DoctorResult
from histonic.stages.doctor.settings import DoctorKeywords, DoctorSettings
from histonic.stages.evaluate.clinical.planned import planned_cox
from histonic.stages.evaluate.outcome.expected import expected_words
from histonic.stages.train.settings import TrainSettings

FOLDS: int = TrainSettings.model_fields["folds"].default


def doctor(
    settings: DoctorSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[DoctorKeywords],
) -> DoctorResult:
    r"""Check slides and labels before any compute; nothing is written but the preview, if one is asked for.

    Slides go through the code of the compression up to their tiles, with the same encoder and settings, so
    that what would fail there fails here for the same reason. Damage within single tiles shows only as they
    are decoded. Slides whose share of tissue stands out among the others are warnings.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``slides="slides"``, ``labels="labels.csv"``, ``target="grade"``.

    Returns:
        One finding a slide, then the slides that stand out, heads of the encoder that do not hold on slides,
        then how the labels of each target are taken and how exactly a result could be known, then one a
        problem in the table, and for survival and clinical columns the events for each coefficient.
        Shown as a table in a notebook; ``ok`` says whether nothing would fail.

    Raises:
        SettingsError: Neither slides nor labels were given, the preview would lie among the slides, or the
            masks cannot be meant.
        EncoderError: The encoder cannot be loaded.
        OutputError: The preview cannot be written.

    Example:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table = pathlib.Path(folder, "labels.csv")
        ...     _ = table.write_text("patient_id,grade\n1,low\n2,high\n3,\n")
        ...     result = doctor(labels=table, target="grade")
        >>> result.ok, len(result.errors) > 0
        (False, True)
    """
    resolved = resolve(DoctorSettings, settings, values)
    return DoctorResult(tuple(_examine(resolved, heard(progress))))


def _examine(settings: DoctorSettings, progress: Progress) -> list[DoctorLine]:
    if not settings.slides and settings.labels is None:
        raise SettingsError(
            "Examine slides and labels.",
            "Neither was given.",
            "Give slide files, a folder, or --labels TABLE.",
        )
    rows = read_slide_list(settings.slides, settings.slide_sheet, settings.names) if settings.slides else []
    require_sensible_masks(rows, settings, settings.masks)
    previews = None if settings.preview is None else Previews.at(settings.preview, rows, settings.slides)
    progress.stage("doctor", len(rows))
    findings = examine_slides(rows, settings, progress, previews) if rows else []
    findings += _examine_heads(settings) if rows else []
    if settings.slides and not rows:
        findings.append(DoctorLine("error", ", ".join(map(str, settings.slides)), "holds no slide file"))
    if settings.labels is not None:
        findings += examine_table(settings, [row.slide_id for row in rows] if rows else None)
    return findings


def examine_slides(
    rows: Sequence[SlideRow], settings: DoctorSettings, progress: Progress, previews: Previews | None = None
) -> list[DoctorLine]:
    """A line a slide, then those whose share of tissue stands out, then what was drawn.

    Args:
        rows: The slides.
        settings: How they will be compressed.
        progress: Advances once a slide.
        previews: Draws them.
    """
    compression, spec = _as_compress(settings), spec_at(settings.encoder, settings.tile_um)
    if settings.stain != StainSettings() or spec.stain is not None:
        from histonic.stages.compress.stains import settled_stain  # torch, and only here

        compression = compression.model_copy(update={"stain": settled_stain(settings.stain, spec)})
    findings: list[DoctorLine] = []
    shares: list[TissueShare] = []
    examined = mapped_by_threads(
        lambda row: _examine_slide(row, compression, spec), rows, threads=usable_cores()
    )
    # Readers silence libraries one by one, which they undo for each other where several run at once.
    with closing(examined), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row, (line, looked) in zip(rows, examined, strict=True):
            findings.append(line)
            if looked is not None:
                shares.append(looked.share)
                if previews is not None:
                    previews.take(looked)
            progress.advance(1, row.slide_id)
    outliers, places = tissue_outliers(shares), {row.slide_id: str(row.path) for row in rows}
    findings += [
        DoctorLine("warning", places[each.slide_id], each.words)
        for each in outliers
        if each.kind != "nothing"  # its own line is an error already
    ]
    if previews is not None:
        findings.append(DoctorLine("ok", str(previews.path), previews.finish(outliers)))
    return findings


def _examine_heads(settings: DoctorSettings) -> list[DoctorLine]:
    """Heads of an encoder's file that learned from objects larger than slides show them."""
    if settings.encoder in ENCODERS or settings.tile_um is not None:
        return []  # told by its card, at every use of its heads; at another scale none are used
    from histonic.encoders.tile_heads import heads_beside, too_large_for_slides  # torch, and only here

    path = heads_beside(settings.encoder)
    return [
        DoctorLine(
            "warning",
            str(path),
            f"the head {name!r} learned from objects {times:.1f} times as large as on a slide; aggregator "
            "'votes' leaves it out. Train it on a set of 'scale: compose'",
        )
        for name, times in (too_large_for_slides(path) if path else {}).items()
    ]


def _examine_slide(
    row: SlideRow, settings: CompressSettings, spec: EncoderSpec
) -> tuple[DoctorLine, Inspected | None]:
    """The line of a slide, and what was seen of it if it could be opened."""
    looked = None
    try:
        looked = inspect_slide(row, settings, spec)
        if not looked.mask.any():
            raise no_tissue(row, looked.judged)
    except HistonicError as error:
        return DoctorLine("error", str(row.path), _one_line(f"{error.asked} {error.reason}")), looked
    except Exception as error:  # noqa: BLE001 - as a compression lists it
        return DoctorLine("error", str(row.path), _one_line(f"{type(error).__name__}: {error}")), None
    return DoctorLine("ok", str(row.path), f"{looked.facts}, {looked.share.words()}"), looked


def _as_compress(settings: DoctorSettings) -> CompressSettings:
    """The settings of the compression that the doctor speaks of; nothing is written."""
    shared = {
        name: getattr(settings, name)
        for name in (
            "mpp",
            "masks",
            "names",
            "reader",
            "encoder",
            "tissue",
            "mask",
            "most_enlargement",
            "tile_um",
        )
    }
    return CompressSettings(slides=settings.slides, out=Path(), **shared)


def examine_table(settings: DoctorSettings, slide_ids: Sequence[str] | None) -> list[DoctorLine]:
    """How the labels of each target are taken, then one line a problem; none without a table.

    Args:
        settings: The label table and the targets.
        slide_ids: Names of the slides; None leaves the join with them unchecked.
    """
    if settings.labels is None:
        return []
    found = examine_labels(
        settings.labels,
        targets=settings.target,
        **settings.reading(),
        **settings.meaning(),
        slide_ids=slide_ids,
    )
    findings = [
        DoctorLine(issue.severity, issue.where, _one_line(f"{issue.what}: {issue.found} {issue.todo}"))
        for issue in found.issues
    ]
    said = [
        DoctorLine("ok", f"{settings.labels}, target {name!r}", coding.text)
        for name, coding in found.codings.items()
    ]
    said += [
        DoctorLine("ok", f"{settings.labels}, target {name!r}", remark)
        for name, remark in found.remarks.items()
    ]
    for name, (task, values) in found.known.items():
        expected = expected_words(task, list(values.values()), FOLDS)
        if expected:
            said.append(DoctorLine("ok", f"{settings.labels}, target {name!r}", expected))
    findings += _examine_clinical(settings, found)
    return [*said, *(findings or [DoctorLine("ok", str(settings.labels), "no problem found in the table")])]


def _examine_clinical(settings: DoctorSettings, found: LabelCheck) -> list[DoctorLine]:
    """Events for each coefficient of the Cox model of a report, and columns that cannot be used."""
    if not settings.clinical or not found.known or settings.labels is None:
        return []
    where = f"{settings.labels}, clinical columns"
    try:
        table = read_labels(settings.labels, **settings.reading())
        columns = {name: cells_by_patient(table, name) for name in settings.clinical}
    except HistonicError as error:
        return [DoctorLine("error", where, _one_line(f"{error.asked} {error.reason}"))]
    lines = []
    for name, (task, values) in found.known.items():
        if task.kind != "survival":
            continue
        where = f"{settings.labels}, clinical columns for target {name!r}"
        try:
            planned = planned_cox(task, values, columns)
        except HistonicError as error:
            lines.append(DoctorLine("warning", where, _one_line(f"{error.asked} {error.reason}")))
            continue
        lines.append(DoctorLine("ok" if planned.enough else "warning", where, planned.words()))
    return lines


def _one_line(text: str) -> str:
    return " ".join(text.split())
