"""Sentences beside the tables of outcome, training, missing labels, calibration, Cox model and subgroups."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from histonic.stages.evaluate.calibration.details import CalibrationDetails, CalibrationRow
from histonic.stages.evaluate.calibration.subgroups import Fairness, SubgroupLevel
from histonic.stages.evaluate.chance import CROSSED_REACH
from histonic.stages.evaluate.clinical.cox import EVENTS_A_PARAMETER, CoxModel, CoxTerm
from histonic.stages.evaluate.networks.spread import PartValue, TrainingSpread, spread_of
from histonic.stages.evaluate.outcome.missing import MissingColumn, MissingLabels, Spread
from histonic.stages.evaluate.outcome.times import Censoring, ShareAt
from histonic.stages.report.document.sections import ChosenSettings, Range, SiteSlides
from histonic.stages.report.wording.words import (
    NBSP,
    compact,
    counted,
    p_words,
    score_number,
    signed,
    significant,
)

PART_WORDS = {"train": "Training", "validation": "Validation", "test": "Test"}
SAME = 0.02
"""Difference of a metric below which training and test are called alike."""


def percent(value: float | None) -> str:
    """A share in whole per cent; a dash if there is none.

    Example:
        >>> percent(0.256).replace(NBSP, " "), percent(None)
        ('26 %', '–')
    """
    return "–" if value is None else f"{100 * value:.0f}{NBSP}%"


def range_text(found: Range | None) -> str:
    """``40 % (32 % to 51 %)``: median and quartiles."""
    if found is None:
        return "–"
    return f"{percent(found.median)} ({percent(found.low)} to {percent(found.high)})"


def colour_text(row: SiteSlides) -> str:
    """``201, 160, 190 (± 12, 15, 11)``."""
    if row.colour is None:
        return "–"
    mean = ", ".join(map(str, row.colour))
    if row.colour_spread is None:
        return mean
    return f"{mean} (± {', '.join(f'{value:.0f}' for value in row.colour_spread)})"


def _with_interval(
    value: float | None, low: float | None, high: float | None, written: Callable[[float], str]
) -> str:
    if value is None:
        return "–"
    if low is None or high is None:
        return written(value)
    return f"{written(value)} ({written(low)} to {written(high)})"


def share_words(share: ShareAt) -> str:
    """``71 % (60 % to 80 %)``, or a dash beyond the follow-up."""
    return _with_interval(share.share, share.low, share.high, percent)


def censoring_words(found: Censoring) -> str:
    """Whether follow-up ends alike in the risk groups, and what hangs on it."""
    shares = (
        f"Without events, {percent(found.low_risk)} of the low-risk and {percent(found.high_risk)} of the "
        f"high-risk group would still be followed at {compact(found.time)} (reverse Kaplan-Meier)"
    )
    why = (
        "Uno’s C, AUC over time and the Brier score take it that it ends alike in patients of low and high "
        "risk"
    )
    if found.p is None:
        return f"{shares}. {why}; that could not be tested."
    within = ", compared within folds" if found.crossed else ""
    test = f"log-rank {p_words(found.p)}{within}"
    if found.p < 0.05:
        return (
            f"{shares}; that differs by more than chance makes likely ({test}). {why}: read them with care."
        )
    return f"{shares}; a difference is not shown ({test}). {why}."


def training_words(found: TrainingSpread) -> str:
    """How much hangs on the networks, and how optimistic training patients are."""
    name = found.metric
    test = next((each for each in found.parts if each.part == "test"), None)
    said = []
    if test is not None and found.initialisations > 1:
        spread = spread_of(test.by_network)
        if spread is not None:
            low, high, deviation = spread
            said.append(
                f"With one network a fold in place of {found.initialisations}, {name} of the tested patients "
                f"lies between {score_number(name, low)} and {score_number(name, high)} (standard deviation "
                f"{significant(deviation, 2)})."
            )
    repeats = spread_of(found.by_repeat)
    if repeats is not None:
        low, high, deviation = repeats
        said.append(
            f"In the {len(found.by_repeat)} repeats it lies between {score_number(name, low)} and "
            f"{score_number(name, high)} (standard deviation {significant(deviation, 2)})."
        )
    if not said:
        said.append(
            "How much another start of the training or another division into folds would change is not "
            "known: there is one network a fold, and one repeat"
            + (
                ", and these networks have one solution, so that only --repeats would tell."
                if found.fitted
                else "; --initialisations and --repeats tell."
            )
        )
    else:
        said.append("The interval above does not hold this: it says how other patients would vary.")
    if found.optimism is not None:
        gap = significant(abs(found.optimism), 2)
        if abs(found.optimism) < SAME * max(1.0, abs(test.value or 0.0) if test else 1.0):
            said.append("Among patients that the networks learned from it is hardly any different.")
        elif found.optimism > 0:
            said.append(
                f"Among patients that the networks learned from it is better by {gap}: that is what they "
                "know by heart, and why only tested patients count."
            )
        else:
            said.append(
                f"Among patients that the networks learned from it is worse by {gap}: nothing was learned by "
                "heart, and what was learned does not even tell them."
            )
    if found.fitted:
        said.append(
            "These networks are heads fitted to training and validation patients together; the row of "
            "validation is their inner cross-validation."
        )
    return " ".join(said)


def part_value(found: PartValue, name: str) -> str:
    """The leading metric of a part as printed."""
    return score_number(name, found.value)


def network_values(found: PartValue, name: str) -> str:
    """The same by single networks: ``0.71 to 0.78``."""
    known = [value for value in found.by_network if value is not None]
    if len(found.by_network) < 2 or not known:
        return "–"
    return f"{score_number(name, min(known))} to {score_number(name, max(known))}"


def search_counts(rows: Sequence[ChosenSettings]) -> list[tuple[str, int]]:
    """How often each combination was chosen, the most frequent first.

    Example:
        >>> row = ChosenSettings(repeat=0, fold=0, chosen="crop_cells 20", tried=4, differ=False)
        >>> search_counts([row, row])
        [('crop_cells 20', 2)]
    """
    found: dict[str, int] = {}
    for row in rows:
        found[row.chosen] = found.get(row.chosen, 0) + 1
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))


# ----------------------------------------------------------------------- missing labels


def missing_text(found: MissingLabels) -> str:
    """Who is compared, and what was found."""
    unused = (
        f" ({found.unused} of them took no part in the run, for no target of theirs is known)"
        if found.unused
        else ""
    )
    who = (
        f"{counted(found.missing, 'patient')} without a label for this target{unused} beside "
        f"{found.present} with one."
    )
    if not found.columns:
        return f"{who} The label table names nothing that they could be compared by."
    differ = [row.name for row in found.columns if row.p is not None and row.p < 0.05]
    tested = [row for row in found.columns if row.p is not None]
    if differ:
        told = (
            f"They differ by more than chance makes likely in {', '.join(differ)}: labels are not missing at "
            "random, and the result may not hold for those who lack one."
        )
    elif tested:
        told = "No column tells them apart beyond chance, which does not prove that they are alike."
    else:
        told = "They are too few for a test."
    return f"{who} {told}"


def spread_text(found: Spread | None) -> str:
    """``61 (54 to 70)``: median and quartiles."""
    if found is None:
        return "–"
    return f"{compact(found.median)} ({compact(found.low)} to {compact(found.high)})"


def missing_cells(row: MissingColumn) -> tuple[str, str]:
    """One column among patients with and without a label, in words."""
    if row.kind == "number":
        return spread_text(row.of_present), spread_text(row.of_missing)
    sides = []
    for total, counts in (
        (row.present, [level.present for level in row.levels]),
        (row.missing, [level.missing for level in row.levels]),
    ):
        named = zip(row.levels, counts, strict=True)
        sides.append(
            "; ".join(f"{level.name} {n} ({percent(n / total)})" for level, n in named) if total else "–"
        )
    return sides[0], sides[1]


def difference_text(row: MissingColumn) -> str:
    """The standardised difference of numbers with its sign, or the largest difference of a share."""
    if row.difference is None:
        return "–"
    return signed(f"{row.difference:+.2f}") if row.kind == "number" else f"{row.difference:.2f}"


def chance_text(p: float | None) -> str:
    """A p-value, or a dash where there is none."""
    return "–" if p is None else p_words(p)


# -------------------------------------------------------------------------- calibration


def calibration_name(row: CalibrationRow, kind: str) -> str:
    """What a row of the table of calibration is of."""
    return f"event by {row.name}" if kind == "survival" else row.name


def slope_text(row: CalibrationRow) -> str:
    """``0.92 (0.60 to 1.24)``."""
    return _with_interval(row.slope, row.low, row.high, significant)


def smooth_texts(row: CalibrationRow) -> tuple[str, str, str, str]:
    """ICI, E50, E90, and what noise would make of the ICI."""
    if row.smooth is None:
        return ("–",) * 4
    found = row.smooth
    noise = f"{found.noise:.3f} ({found.noise_most:.3f})"
    return f"{found.ici:.3f}", f"{found.e50:.3f}", f"{found.e90:.3f}", noise


def floor_words(found: CalibrationDetails, kind: str) -> str:
    """From how many events on there is a smooth curve, where some row stays below; see :class:`Task`."""
    below = [row for row in found.rows if row.smooth is None]
    if kind == "survival":
        below = [row for row in below if row.events < row.floor]
        return (
            f"ICI, E50 and E90 are given from {below[0].floor} events by the time; below that they would "
            "show noise."
            if below
            else ""
        )
    below = [row for row in below if min(row.events, row.n - row.events) < row.floor]
    if not below:
        return ""
    return (
        f"ICI, E50 and E90 are given from {below[0].floor} patients with and as many without what is "
        "predicted; below that they would show noise."
    )


def ratio_text(level: SubgroupLevel) -> str:
    """``1.10 (0.80 to 1.45)``, or a dash."""
    if level.ratio is None:
        return "–"
    return f"{significant(level.ratio)} ({significant(level.low)} to {significant(level.high)})"


def missed_text(level: SubgroupLevel) -> str:
    """``20 % (9 % to 38 %)``, or a dash."""
    if level.missed is None:
        return "–"
    return f"{percent(level.missed)} ({percent(level.missed_low)} to {percent(level.missed_high)})"


def fairness_words(found: Fairness, label: str) -> str:
    """What the table of calibration by group shows."""
    of = f"“{label}”" if found.horizon is None else f"an event by {compact(found.horizon)}"
    said = (
        f"Of each group the share of patients with {of} that was observed, by the mean chance that was "
        "predicted: above 1 there were more than promised. Nothing is said of groups with fewer than ten "
        "patients with or without it."
    )
    if found.horizon is None:
        called = found.called_by or "balanced"
        said += (
            f" Missed: share of the “{label}” patients who are not called (rule: {called}), with its "
            "95 % interval."
        )
    return f"{said} Groups were not tested against each other: intervals that overlap say nothing more."


# ---------------------------------------------------------------------------------- Cox


def hazard_text(term: CoxTerm) -> str:
    """``1.80 (1.10 to 2.90)``."""
    if term.value is None:
        return "no finite ratio"
    return f"{significant(term.value)} ({significant(term.low)} to {significant(term.high)})"


def cox_words(found: CoxModel) -> str:
    """How the model was fitted, and whether it should have been."""
    how = (
        "Patients are compared within their fold, for the risk in standard deviations within its fold; its "
        "interval counts the variance twice because patients predict each other in cross-validation "
        f"(it is up to {CROSSED_REACH:.1f} times as wide), and it has no p-value here: the likelihood-ratio "
        "test above says whether the slides add to these columns. "
        if found.crossed
        else ""
    )
    few = (
        f" With {significant(found.events_a_parameter, 2)} events a coefficient, fewer than "
        f"{EVENTS_A_PARAMETER}, ratios and intervals are not reliable."
        if found.events_a_parameter < EVENTS_A_PARAMETER
        else f" {significant(found.events_a_parameter, 2)} events a coefficient."
    )
    filled = (
        f" {counted(found.filled, 'empty cell')} took the median or the most frequent word of the column."
        if found.filled
        else ""
    )
    bent = [
        term.name for term in found.terms if term.p_proportional is not None and term.p_proportional < 0.05
    ]
    shape = (
        f" The ratio of {', '.join(bent)} changes with time: a single number does not describe it."
        if bent
        else " No ratio is seen to change with time."
    )
    tested = any(term.p_proportional is not None for term in found.terms)
    return (
        f"{how}In {counted(found.n, 'patient')} with {counted(found.events, 'event')}.{few}{filled}"
        f"{shape if tested else ''}"
    )
