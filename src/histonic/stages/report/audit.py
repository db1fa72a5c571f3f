"""What the report says of the audit: can anything but the tissue explain the labels?"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from histonic.core.progress import Progress
from histonic.runs.run import WholeRun
from histonic.stages.audit.findings import AuditResult, ConfounderResult, Finding, ModelOrder
from histonic.stages.audit.run import audit_read_run
from histonic.stages.report.document.sections import AuditSection, Forest, ForestRow
from histonic.stages.report.figures.drawing import COLOURS, INK, PALE, Picture, draw_figure
from histonic.stages.report.wording import words

LEVEL_WORDS = {"error": "Error", "warning": "Warning", "note": "Note"}
HEADLINES = {
    "error": "Something but the tissue can explain a result:",
    "warning": "Look at this before you believe a result:",
}
"""Before the names of the findings, in the head of the page."""
HEADLINES_SHOWN = 6
MODEL, ALARM = COLOURS[0], COLOURS[1]


def audit_content(run: WholeRun, progress: Progress) -> AuditSection:
    """The audit with the sentences of the page.

    Args:
        run: The run.
        progress: Listener to the progress.
    """
    found = audit_read_run(run, run.externals, progress=progress)
    tested = sum(each.value is not None for each in found.confounders)
    return AuditSection(
        **dict(found),
        tested=tested,
        summary=audit_summary(found.findings, tested),
        headline=headline(found.findings),
        figures=[figure for task in run.tasks if (figure := _forest_of(task.name, found))],
    )


def audit_summary(findings: Sequence[Finding], tested: int) -> str:
    """What was found, as a sentence.

    Example:
        >>> audit_summary([Finding("warning", "coding", "", "", "", "")], 8)
        '1 warning. 8 comparisons of a target with something beside the tissue were made.'
    """
    counts = [
        words.counted(sum(item.level == level for item in findings), level)
        for level in ("error", "warning")
        if any(item.level == level for item in findings)
    ]
    found = f"{words.joined(counts)}." if counts else "No error and no warning."
    made = words.counted(tested, "comparison")
    verb = "was" if tested == 1 else "were"
    return f"{found} {made} of a target with something beside the tissue {verb} made."


def headline(findings: Sequence[Finding]) -> str:
    """The worst findings by name, for the head of the page; empty if there is neither error nor warning."""
    for level in ("error", "warning"):
        names = [item.what for item in findings if item.level == level]
        if names:
            more = len(names) - HEADLINES_SHOWN
            shown = "; ".join(names[:HEADLINES_SHOWN]) + (f"; and {more} more" if more > 0 else "")
            return f"{HEADLINES[level]} {shown}."
    return ""


def _forest_of(target: str, found: AuditResult) -> Forest | None:
    """Rows of one target's figure; None if no confounder could be tested."""
    tested = [each for each in found.confounders if each.target == target and each.value is not None]
    if not tested:
        return None
    rows = [_row(each, "the model itself", "model") for each in found.models if each.target == target]
    for within in found.within_sites:
        if within.target == target:
            value, low, high = within.within
            label = "the model, within sites"
            rows.append(ForestRow(label=label, kind="model", value=value, low=low, high=high))
    rows += [
        _row(each, each.label.removeprefix("the "), "alarm" if each.alarm else "quiet") for each in tested
    ]
    return Forest(target=target, measure=tested[0].measure, rows=rows)


def _row(found: ModelOrder | ConfounderResult, label: str, kind: str) -> ForestRow:
    return ForestRow(label=label, kind=kind, value=found.value, low=found.low, high=found.high)


def audit_pictures(audit: AuditSection) -> list[Picture]:
    """One figure a target: model and confounders on one scale, with chance."""
    return [_draw_forest(figure) for figure in audit.figures]


def _draw_forest(forest: Forest) -> Picture:
    rows = forest.rows
    label = words.label_of(forest.target)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, row in enumerate(rows):
            _draw_row(axes, len(rows) - 1 - place, row)
        axes.axvline(0.5, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
        low = min(0.3, *(row.low for row in rows))
        axes.set(xlim=(max(0.0, low - 0.03), 1.02), ylim=(-0.7, len(rows) - 0.3))
        axes.set_yticks(range(len(rows)), [row.label for row in reversed(rows)])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"{forest.measure} (dashed: chance)")

    listed = "; ".join(f"{row.label} {words.interval_text(row)}" for row in rows)
    return Picture(
        label,
        draw_figure(draw, (5.2, 1.1 + 0.36 * len(rows))),
        f"{forest.measure} for {label}: {listed}. Chance is 0.50.",
        f"Values to the right of chance order the patients by {label}.",
    )


def _draw_row(axes: Axes, height: float, row: ForestRow) -> None:
    colour = {"model": MODEL, "alarm": ALARM}.get(row.kind, PALE)
    mark = {"model": "s", "alarm": "D"}.get(row.kind, "o")
    axes.plot((row.low, row.high), (height, height), color=colour, linewidth=2.4, solid_capstyle="butt")
    axes.plot(row.value, height, mark, color=colour, markersize=7, markeredgecolor="white")
