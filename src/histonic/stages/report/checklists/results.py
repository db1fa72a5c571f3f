"""What a run knows of its results, for checklists."""

from __future__ import annotations

from histonic.stages.evaluate.clinical.cox import CoxModel
from histonic.stages.evaluate.curves import ClassCurves, SurvivalCurves
from histonic.stages.report.cases.plain import too_few_words
from histonic.stages.report.checklists.targets import evaluated, of_targets
from histonic.stages.report.document.report import Report
from histonic.stages.report.document.target import Target
from histonic.stages.report.wording import details, words
from histonic.stages.report.wording.groups import spread_words


def measures(report: Report) -> str:
    """Which metrics were computed."""
    return of_targets(report, lambda each: f"{words.joined([score.name for score in each.scores[:12]])}.")


def intervals(report: Report) -> str:
    """How intervals were made."""
    done = evaluated(report)
    if not done:
        return ""
    crossed = [target for target in done if target.crossed]
    within = ", within folds" if crossed else ""
    named = {score.name for target in done for score in target.scores if score.low is not None}
    other = [f"of {name} by the jackknife" for name in ("AUPRC", "Spearman correlation") if name in named]
    if "Expected calibration error" in named:
        other.append("of the expected calibration error by simulated outcomes")
    kinds = f"BCa; {words.joined(other)}" if other else "BCa"
    said = [
        f"95 % intervals of metrics by {report.report.resamples} resamples of the patients{within} ({kinds})."
    ]
    by_sites = [target.by_sites for target in done if target.by_sites and target.by_sites.intervals]
    if by_sites:
        said.append(f"Beside them, intervals by resampling the {by_sites[0].sites} sites.")
    if crossed:
        survival = any(target.task.kind == "survival" for target in crossed)
        what = "Hazard ratios and tests" if survival else "Tests"
        said.append(
            f"{what} of cross-validated predictions count the variance twice, because patients predict each "
            "other."
        )
    return " ".join(said)


def chance(report: Report) -> str:
    """How results stand to chance."""
    return of_targets(report, lambda each: each.summary)


def performance(report: Report) -> str:
    """The leading metric of each target and cohort."""
    found = of_targets(report, lambda each: f"{words.score_words(each.scores[0])}.")
    for cohort in report.external:
        for target in cohort.targets:
            if not target.problem:
                few = too_few_words(target.task.kind, target.n, target.curves)
                found += f" {few.partition('. ')[0]}." if few else ""
                found += f" {target.label} in {cohort.name}: {words.score_words(target.scores[0])}."
    return found


def points(report: Report) -> str:
    """Sensitivity and specificity at operating points."""

    def said(target: Target) -> str:
        found = target.operating_points
        if found is None:
            return ""
        rows = []
        for row in found.rows:
            numbers = [f"{each.name} {words.significant(each.value)}" for each in row.scores[:2]]
            rows.append(f"{row.label}: {', '.join(numbers)}")
        return "; ".join(rows) + "."

    return of_targets(report, said)


def confusion(report: Report) -> str:
    """Called by true class."""

    def said(target: Target) -> str:
        if not isinstance(target.curves, ClassCurves):
            return ""
        table = target.curves.confusion
        rows = zip(table.classes, table.counts, strict=True)
        return (
            "; ".join(
                f"truly {name}: "
                + ", ".join(f"{n} called {other}" for n, other in zip(row, table.classes, strict=True))
                for name, row in rows
            )
            + "."
        )

    return of_targets(report, said)


def by_site(report: Report) -> str:
    """Whether sites and subgroups differ."""
    return of_targets(report, lambda each: spread_words(each.groups))


def fairness(report: Report) -> str:
    """By which groups performance and calibration were looked at."""
    names = sorted({g.name for target in evaluated(report) for g in target.groups})
    if not names:
        return "No subgroup was looked at (--subgroups COLUMN)."
    looked = [f"Performance by {words.joined(names)}."]
    for target in evaluated(report):
        if target.fairness is None:
            continue
        levels = [level for grouping in target.fairness.groupings for level in grouping.levels]
        what = [
            name
            for name, found in (
                ("calibration", any(level.ratio is not None for level in levels)),
                ("missed cases", any(level.missed is not None for level in levels)),
            )
            if found
        ]
        if what:
            groups = words.joined([grouping.name for grouping in target.fairness.groupings])
            looked.append(f"{target.label}: {words.joined(what)} by {groups}.")
    return " ".join(looked)


def recalibrated(report: Report) -> str:
    """Whether a model was updated."""
    cohorts_again = [
        f"{target.label} in {each.name}"
        for each in report.external
        for target in each.targets
        if target.calibration is not None and target.calibration.recalibrated is not None
    ]
    if cohorts_again:
        return f"The model was not updated; what recalibration would change: {words.joined(cohorts_again)}."
    return "The model was not updated."


def training_spread(report: Report) -> str:
    """What hangs on the training."""
    return of_targets(
        report, lambda each: "" if each.training is None else details.training_words(each.training)
    )


def univariable(report: Report) -> str:
    """Hazard ratios of the risk alone."""

    def said(target: Target) -> str:
        curves = target.curves
        if not isinstance(curves, SurvivalCurves):
            return ""
        rows = [row for row in curves.hazard_ratios if row.value is not None]
        return "; ".join(
            f"{row.name}: {words.significant(row.value)} ({words.significant(row.low)} to "
            f"{words.significant(row.high)})"
            for row in rows
        )

    return of_targets(report, said)


def cox(report: Report) -> str:
    """Risk and clinical columns in one model."""

    def said(target: Target) -> str:
        if not isinstance(target.cox, CoxModel):
            return ""
        return "; ".join(f"{each.name} {details.hazard_text(each)}" for each in target.cox.terms) + "."

    return of_targets(report, said)


def assumptions(report: Report) -> str:
    """Proportional hazards and censoring."""

    def said(target: Target) -> str:
        parts = []
        if isinstance(target.cox, CoxModel):
            parts.append(details.cox_words(target.cox))
        if target.times is not None and target.times.censoring is not None:
            parts.append(details.censoring_words(target.times.censoring))
        return " ".join(parts)

    return of_targets(report, said)
