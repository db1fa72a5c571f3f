"""Opening every slide and reading every row before any compute is spent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from histonic.app.settings import DoctorSettings
from histonic.core.errors import HistonicError, SettingsError
from histonic.core.progress import Progress
from histonic.core.settings import TissueSettings
from histonic.data.tables.slide_lists import SlideRow, read_slide_list
from histonic.data.targets.checks import check_labels
from histonic.slides.base import open_slide
from histonic.slides.tissue import TissueRule, find_tissue

Severity = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class DoctorLine:
    """One line of the doctor: a slide, or a problem in the table."""

    severity: Severity
    where: str
    text: str

    def line(self) -> str:
        """The finding as one line of text."""
        return f"{self.severity:<8} {self.where}  {self.text}"


def examine(settings: DoctorSettings, progress: Progress) -> list[DoctorLine]:
    """Check slides and labels; nothing is written.

    Args:
        settings: Slides, label table and targets.
        progress: Listener to the progress.

    Returns:
        One finding a slide, then one a problem in the table.

    Raises:
        SettingsError: Neither slides nor labels were given.
    """
    if not settings.slides and settings.labels is None:
        raise SettingsError(
            "Examine slides and labels.",
            "Neither was given.",
            "Give slide files, a folder, or --labels TABLE.",
        )
    rows = read_slide_list(settings.slides, settings.slide_sheet) if settings.slides else []
    progress.stage("doctor", len(rows))
    findings = []
    for row in rows:
        findings.append(_examine_slide(row, settings))
        progress.advance(1, row.slide_id)
    if settings.slides and not rows:
        findings.append(DoctorLine("error", ", ".join(map(str, settings.slides)), "holds no slide file"))
    if settings.labels is not None:
        findings += _examine_labels(settings, [row.slide_id for row in rows] if rows else None)
    return findings


def _examine_slide(row: SlideRow, settings: DoctorSettings) -> DoctorLine:
    rule = TissueSettings()
    try:
        with open_slide(row.path, mpp=row.mpp, default_mpp=settings.mpp) as slide:
            size = f"{slide.size_wh.w}x{slide.size_wh.h} px"
            if not slide.has_mpp:
                text = f"{size}, reader {slide.reader}: no mpp in the header; give --mpp or an mpp column"
                return DoctorLine("error", str(row.path), text)
            facts = f"{size}, {slide.mpp:.4g} µm/px ({slide.mpp_source}), reader {slide.reader}"
            tissue = find_tissue(slide, TissueRule(rule.mpp, rule.min_speck_um2, rule.max_hole_um2))
            share = float(tissue.mask.mean())
    except HistonicError as error:
        return DoctorLine("error", str(row.path), _one_line(f"{error.asked} {error.reason}"))
    except (OSError, ValueError, RuntimeError) as error:
        return DoctorLine("error", str(row.path), _one_line(f"{type(error).__name__}: {error}"))
    if share == 0:
        return DoctorLine("error", str(row.path), f"{facts}: no tissue found; give a mask if there is some")
    return DoctorLine("ok", str(row.path), f"{facts}, tissue {share:.0%}")


def _examine_labels(settings: DoctorSettings, slide_ids: list[str] | None) -> list[DoctorLine]:
    if settings.labels is None:
        return []
    issues = check_labels(
        settings.labels,
        targets=settings.target,
        **settings.reading(),
        event_coding=settings.event_coding,
        slide_ids=slide_ids,
    )
    findings = [
        DoctorLine(issue.severity, issue.where, _one_line(f"{issue.what}: {issue.found} {issue.todo}"))
        for issue in issues
    ]
    return findings or [DoctorLine("ok", str(settings.labels), "no problem found in the table")]


def _one_line(text: str) -> str:
    return " ".join(text.split())
