"""What the report says of the audit: can anything but the tissue explain the labels?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from histonic.core.progress import Progress
from histonic.runs.run import WholeRun
from histonic.stages.audit.run import audit_read_run
from histonic.stages.report import words
from histonic.stages.report.drawing import COLOURS, INK, PALE, Picture, draw_figure

LEVEL_WORDS = {"error": "Error", "warning": "Warning", "note": "Note"}
HEADLINES = {
    "error": "Something but the tissue can explain a result:",
    "warning": "Look at this before you believe a result:",
}
"""Before the names of the findings, in the head of the page."""
HEADLINES_SHOWN = 6
MODEL, ALARM = COLOURS[0], COLOURS[1]


def audit_content(run: WholeRun, progress: Progress) -> dict[str, Any]:
    """The audit as plain values, with the sentences of the page.

    Args:
        run: The run.
        progress: Listener to the progress.
    """
    values = audit_read_run(run, run.externals, progress=progress).to_dict()
    tested = [each for each in values["told"] if each["value"] is not None]
    values["tested"] = len(tested)
    values["summary"] = audit_summary(values["findings"], len(tested))
    values["headline"] = headline(values["findings"])
    values["figures"] = [figure for task in run.tasks if (figure := _figure_values(task.name, values))]
    return values


def audit_summary(findings: Sequence[Mapping[str, Any]], tested: int) -> str:
    """What was found, as a sentence.

    Example:
        >>> audit_summary([{"level": "warning"}], 8)
        '1 warning. 8 comparisons of a target with something beside the tissue were made.'
    """
    counts = [
        words.counted(sum(item["level"] == level for item in findings), level)
        for level in ("error", "warning")
        if any(item["level"] == level for item in findings)
    ]
    found = f"{words.joined(counts)}." if counts else "No error and no warning."
    made = words.counted(tested, "comparison")
    verb = "was" if tested == 1 else "were"
    return f"{found} {made} of a target with something beside the tissue {verb} made."


def headline(findings: Sequence[Mapping[str, Any]]) -> str:
    """The worst findings by name, for the head of the page; empty if there is neither error nor warning."""
    for level in ("error", "warning"):
        names = [item["what"] for item in findings if item["level"] == level]
        if names:
            more = len(names) - HEADLINES_SHOWN
            shown = "; ".join(names[:HEADLINES_SHOWN]) + (f"; and {more} more" if more > 0 else "")
            return f"{HEADLINES[level]} {shown}."
    return ""


def _figure_values(target: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Rows of one target's figure; None if no confounder could be tested."""
    told = [each for each in values["told"] if each["target"] == target and each["value"] is not None]
    if not told:
        return None
    rows = []
    for model in values["models"]:
        if model["target"] == target:
            rows.append({**_ends(model), "label": "the model itself", "kind": "model"})
    for each in values["within_sites"]:
        if each["target"] == target:
            low, high = each["within"][1], each["within"][2]
            ends = {"value": each["within"][0], "low": low, "high": high}
            rows.append({**ends, "label": "the model, within sites", "kind": "model"})
    for each in told:
        rows.append(
            {
                **_ends(each),
                "label": each["label"].removeprefix("the "),
                "kind": "alarm" if each["alarm"] else "quiet",
            }
        )
    return {"target": target, "measure": told[0]["measure"], "rows": rows}


def _ends(values: Mapping[str, Any]) -> dict[str, float]:
    return {key: values[key] for key in ("value", "low", "high")}


def audit_pictures(audit: Mapping[str, Any]) -> list[Picture]:
    """One figure a target: model and confounders on one scale, with chance."""
    return [_forest(figure) for figure in audit["figures"]]


def _forest(values: Mapping[str, Any]) -> Picture:
    rows = values["rows"]
    label = words.label_of(values["target"])

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, row in enumerate(rows):
            _draw_row(axes, len(rows) - 1 - place, row)
        axes.axvline(0.5, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
        low = min(0.3, *(row["low"] for row in rows))
        axes.set(xlim=(max(0.0, low - 0.03), 1.02), ylim=(-0.7, len(rows) - 0.3))
        axes.set_yticks(range(len(rows)), [row["label"] for row in reversed(rows)])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"{values['measure']} (dashed: chance)")

    told = "; ".join(f"{row['label']} {words.interval_text(row)}" for row in rows)
    return Picture(
        label,
        draw_figure(draw, (5.2, 1.1 + 0.36 * len(rows))),
        f"{values['measure']} for {label}: {told}. Chance is 0.50.",
        f"Values to the right of chance order the patients by {label}.",
    )


def _draw_row(axes: Axes, height: float, row: Mapping[str, Any]) -> None:
    colour = {"model": MODEL, "alarm": ALARM}.get(row["kind"], PALE)
    mark = {"model": "s", "alarm": "D"}.get(row["kind"], "o")
    axes.plot((row["low"], row["high"]), (height, height), color=colour, linewidth=2.4, solid_capstyle="butt")
    axes.plot(row["value"], height, mark, color=colour, markersize=7, markeredgecolor="white")
