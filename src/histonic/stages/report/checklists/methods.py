"""What a run knows of its model and how it was made, for checklists."""

from __future__ import annotations

from histonic.stages.report.checklists.participants import events, masked
from histonic.stages.report.checklists.targets import of_targets
from histonic.stages.report.document.report import Report
from histonic.stages.report.wording import cohort as cohort_words
from histonic.stages.report.wording import details, words


def aim(report: Report) -> str:
    """What was predicted, of what kind the study is."""
    labels = words.joined([f"{each.label} ({words.KIND_WORDS[each.task.kind]})" for each in report.targets])
    tested = " It was tested on external cohorts as well." if report.external else ""
    return f"A model that predicts {labels} from whole slides was developed and validated internally.{tested}"


def predictors(report: Report) -> str:
    """What the model sees."""
    return (
        f"Pixels of whole slides alone, as codes of the encoder {report.run.encoder.name} "
        f"({report.run.encoder.spec.code_size} numbers a cell)."
    )


def no_judgement(report: Report) -> str:
    """Whether predictors need a human; nothing is said where masks from outside may be somebody's work."""
    if masked(report):
        return ""
    return "Predictors are computed from pixels; nobody judged them."


def split(report: Report) -> str:
    """How patients were divided."""
    return cohort_words.split_words(report.run)


def disjoint(report: Report) -> str:
    """At which level parts are apart."""
    site = " and sites" if report.run.split == "site" else ""
    copies = [each.what for each in report.audit.findings if each.code in ("duplicate", "patient")]
    found = f" The audit found: {'; '.join(copies)}." if copies else ""
    return f"Parts are apart by patient{site}: all slides of a patient are in the same part.{found}"


def encoder(report: Report) -> str:
    """What made the codes."""
    spec = report.run.encoder.spec
    return (
        f"Encoder {report.run.encoder.name}, frozen, {spec.tile_px} px at {spec.mpp:g} µm/px, fingerprint "
        f"{report.run.encoder.fingerprint}; licence {spec.licence}; {spec.provenance}"
    )


def model(report: Report) -> str:
    """Kind of network."""
    run = report.run
    kind = "Linear models of mean codes" if run.quick else "Slide networks on compressed whole slides"
    return (
        f"{kind}: aggregator {run.aggregator} on maps of {run.code_size} numbers a cell, "
        f"{words.counted(run.initialisations, 'network')} a fold."
    )


def start(report: Report) -> str:
    """How weights began."""
    kept = "the encoder was not trained further."
    fitted = cohort_words.fitted_of(report.run, report.search)
    if fitted == "all":
        return f"Heads have one solution, whatever they begin with; {kept}"
    which = "Slide networks" if fitted == "none" else "Slide networks whose aggregator has weights"
    return f"{which} began with random weights by the seeds of the run ({report.run.seed}); {kept}"


def training(report: Report) -> str:
    """How networks were trained."""
    run = report.run
    rest = (
        f"precision {run.precision}, on {run.device}; {cohort_words.stopping_words(run, report.search)}. "
        "All settings: settings.yaml."
    )
    if cohort_words.fitted_of(run, report.search) == "all":
        return f"A convex problem, solved at once, {rest}"
    searched = " (before the search)" if report.search else ""
    return f"Learning rate {run.learning_rate:g}, crops of {run.crop_cells} cells{searched}, {rest}"


def tuning(report: Report) -> str:
    """How settings were chosen."""
    if not report.search:
        if cohort_words.fitted_of(report.run) == "all":
            return (
                "The penalty of each head was chosen in a cross-validation among training and validation "
                "patients; nothing else was searched."
            )
        return f"No setting was searched; {cohort_words.stopping_words(report.run)}."
    counted = "; ".join(f"{chosen} in {times}" for chosen, times in details.search_counts(report.search))
    searched = cohort_words.search_words(report.run, report.search)
    return f"{searched} Chosen: {counted} of {len(report.search)} folds."


def ensemble(report: Report) -> str:
    """Whether predictions of networks are joined."""
    run = report.run
    if run.initialisations == 1:
        return "One network predicts the patients of a fold; external patients are predicted by all together."
    return f"Predictions of {run.initialisations} networks a fold are averaged."


def imbalance(report: Report) -> str:
    """How classes were balanced, and by which rule they are called."""
    rule = of_targets(
        report,
        lambda each: words.reading(each.task.kind, each.decided_by) if each.task.is_classification else "",
    )
    return f"{events(report)} {rule}".strip()


def predicted(report: Report) -> str:
    """How tested patients were predicted."""
    if report.run.split == "fixed":
        return "Tested patients were predicted once by the networks of the training patients."
    return "Every patient was predicted by networks that had not seen that patient (out of fold)."


def output(report: Report) -> str:
    """What predictions are, and thresholds."""
    said = of_targets(report, lambda each: words.reading(each.task.kind, each.decided_by))
    points = report.run.operating_points
    named = (
        f" Operating points, chosen without the tested patients: {words.joined(list(points))}."
        if points
        else ""
    )
    return f"{said}{named}"


def specification(report: Report) -> str:
    """Where the model is."""
    return (
        f"The bundle of the run (fingerprint {report.run.bundle_fingerprint}) holds weights, encoder and "
        "settings; histonic predict runs it."
    )


def code(report: Report) -> str:
    """Software and versions."""
    run = report.run
    others = ", ".join(
        f"{name} {version}" for name, version in sorted(run.versions.items()) if name != "histonic"
    )
    return f"histonic {run.histonic} (Apache-2.0); {others}. Commands and settings: end of the report."


def familiar(_: Report) -> str:
    """What happens to slides unlike those of the training."""
    return "histonic predict names slides that are unlike the training slides."


def explanation(report: Report) -> str:
    """How predictions are explained."""
    shown = sum(len(each) for each in report.explanations.targets.values())
    if not shown:
        return report.explanations.problem
    return f"{words.counted(shown, 'map')} by {report.explanations.method}, with checks of their fidelity."


def cut(report: Report) -> str:
    """How risk groups were cut."""
    survival = any(target.task.kind == "survival" for target in report.targets)
    return (
        "The risk is used as a number; risk groups are cut at the median of each network’s training patients."
        if survival
        else ""
    )
