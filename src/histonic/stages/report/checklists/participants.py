"""What a run knows of patients, slides and outcomes, for checklists."""

from __future__ import annotations

from histonic.stages.evaluate.curves import SurvivalCurves
from histonic.stages.report.checklists.targets import evaluated, of_targets
from histonic.stages.report.document.report import Report
from histonic.stages.report.document.target import Target
from histonic.stages.report.wording import details, outcome, words


def sites(report: Report) -> str:
    """Sites and how many patients each gave."""
    named = [f"{each.name} ({each.patients})" for each in report.sites if each.name]
    if not named:
        return "The label table names no sites."
    return f"Patients by site: {words.joined(named)}."


def cohorts(report: Report) -> str:
    """External cohorts."""
    if not report.external:
        return "No external cohort was tested."
    named = [f"{each.name} ({each.about.counts.patients_used} patients)" for each in report.external]
    return f"External cohorts: {words.joined(named)}."


def flow(report: Report) -> str:
    """From slides and patients to those that were analysed."""
    counts = report.counts
    return (
        f"{counts.slides_in_store + counts.slides_failed} slides given, {counts.slides_failed} failed, "
        f"{counts.slides_used} used; {counts.patients_in_table} patients in the label table, "
        f"{counts.patients_used} used."
    )


def exclusions(report: Report) -> str:
    """How many were left out for which reasons."""
    if not report.exclusions:
        return "Nobody in the label table was left out."
    reasons: dict[str, int] = {}
    for each in report.exclusions:
        key = f"{each.what}: {each.reason.partition(' of ')[0]}"
        reasons[key] = reasons.get(key, 0) + 1
    shown = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:6]
    return "Left out: " + "; ".join(f"{text} ({count})" for text, count in shown) + "."


def slides(report: Report) -> str:
    """How slides were prepared, and what tissue they hold."""
    tissue, spec = report.run.compress_settings.tissue, report.run.encoder.spec
    how = "Tissue: " + ("not told from glass" if tissue is None else f"{tissue.source}, by {tissue.finder}")
    return f"{how}; cells of {spec.tile_px} px at {spec.mpp:g} µm/px. {report.tissue.summary}"


def audit(report: Report) -> str:
    """What the audit of the data found."""
    return report.audit.summary


def events(report: Report) -> str:
    """Patients and events or classes of each target."""
    return of_targets(
        report,
        lambda each: (
            outcome.numbers_words(each.curves, each.task.columns[0]) or f"{words.counted(each.n, 'patient')}."
        ),
    )


def follow_up(report: Report) -> str:
    """Median follow-up of survival targets."""

    def said(target: Target) -> str:
        curves = target.curves
        if not isinstance(curves, SurvivalCurves) or curves.follow_up is None:
            return ""
        return outcome.follow_up_words(curves.follow_up, target.task.columns[0])

    return of_targets(report, said)


def outcome_of(report: Report) -> str:
    """How labels were taken."""
    return of_targets(
        report,
        lambda each: (
            f"column{'s' if len(each.task.columns) > 1 else ''} {words.joined(list(each.task.columns))}"
            + (f"; {each.coding}." if each.coding else ".")
        ),
    )


def sample(report: Report) -> str:
    """How many there were."""
    return f"{report.counts.patients_used} patients were used. {events(report)}".strip()


def precision(report: Report) -> str:
    """How wide the interval of the leading metric is."""

    def said(target: Target) -> str:
        score = target.scores[0]
        if score.low is None or score.high is None:
            return ""
        width = words.score_number(score.name, score.high - score.low)
        return f"the 95 % interval of {score.name} is {width} wide."

    return of_targets(report, said)


def missing(report: Report) -> str:
    """Whose label is missing."""

    def said(target: Target) -> str:
        return "" if target.missing is None else details.missing_text(target.missing)

    return of_targets(report, said) or "No patient of the run lacks a label."


def filled(report: Report) -> str:
    """What was done about missing labels and cells."""
    clinical = any(target.clinical is not None for target in report.targets)
    cells = (
        " Empty cells of clinical columns took the median or the most frequent word of the patients that the "
        "model is fitted to."
        if clinical
        else ""
    )
    return f"Patients without a label for a target were left out of it; no label was filled in.{cells}"


def resolution(report: Report) -> str:
    """At which resolution slides were read."""
    return f"Slides were read at {report.run.encoder.spec.mpp:g} µm per pixel."


def masked(report: Report) -> bool:
    """Whether masks from outside told the tissue of some slides; somebody may have drawn them."""
    tissue = report.run.compress_settings.tissue
    return report.run.slides_given.masked or (tissue is not None and tissue.source == "masks")


def cells(report: Report) -> str:
    """Which parts of slides were used."""
    tissue = report.run.compress_settings.tissue
    if masked(report):
        which = "Tissue was given by masks from outside; who or what made them the authors have to say."
    elif tissue is not None and tissue.source == "all":
        which = "All cells of a slide, glass as well; no region chosen by hand."
    elif tissue is None:
        which = ""
    else:
        which = "Cells on tissue, no region chosen by hand."
    return f"{which} {report.tissue.summary}".strip()


def differences(report: Report) -> str:
    """Training and tested patients."""
    if report.external:
        return f"{cohorts(report)} Their patients, classes and events stand beside those of the run."
    return "Internal validation: tested patients come from the same table as those who trained."


def limits(report: Report) -> str:
    """Limits that the run itself shows."""
    said = [] if report.external else ["no external cohort was tested"]
    few = [each.label for each in evaluated(report) if each.against_chance != "better"]
    said += [f"not shown to be better than chance: {words.joined(few)}"] if few else []
    said += [report.audit.headline] if report.audit.headline else []
    return ("Seen by the run itself: " + "; ".join(said)) if said else ""


def clinical(report: Report) -> str:
    """Clinical columns beside the slides."""
    names = sorted(
        {
            column.name
            for target in evaluated(report)
            if target.clinical is not None and not target.clinical.problem
            for column in getattr(target.clinical, "columns", ())
        }
    )
    return f"Clinical columns beside the slides: {words.joined(names)}." if names else ""
