"""Sites, subgroups and clinical columns in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from histonic.core.task import TaskKind
from histonic.metrics.inference.scores import Score
from histonic.stages.evaluate.chance import CROSSED_REACH
from histonic.stages.evaluate.clinical.fits import AddedByImage
from histonic.stages.evaluate.clinical.models import Clinical
from histonic.stages.evaluate.groups import Grouping, GroupScore
from histonic.stages.evaluate.site_intervals import FEW_SITES, FEWEST_SITES, SiteInterval, SiteIntervals
from histonic.stages.report.wording.words import counted, joined, p_words, score_number, score_words, signed


def few_words(level: GroupScore, kind: TaskKind) -> str:
    """A warning where a group is too small to say much; empty else.

    Example:
        >>> few_words(GroupScore(name="east", n=28, cases=9, few=True), "survival")
        'few: 28 patients, 9 events'
    """
    if level.problem:
        return level.problem
    if not level.few:
        return ""
    if level.cases is None:
        return f"few: {counted(level.n, 'patient')}"
    cases = counted(level.cases, "event") if kind == "survival" else f"{level.cases} of the rarest class"
    return f"few: {counted(level.n, 'patient')}, {cases}"


def spread_words(groups: Sequence[Grouping]) -> str:
    """Whether the groups of each grouping differ by more than chance; empty if none can be compared.

    Example:
        >>> spread_words([Grouping(name="site", levels=(), p_value=0.4)])
        'Values by site differ no more than chance makes them differ (p = 0.40).'
    """
    tested = [(grouping.name, grouping.p_value) for grouping in groups if grouping.p_value is not None]
    correction = ", corrected for several groupings" if len(tested) > 1 else ""
    sentences = []
    for name, p in tested:
        amount = "no more than chance makes them differ" if p >= 0.05 else "more than chance makes likely"
        sentences.append(f"Values by {name} differ {amount} ({p_words(p)}{correction}).")
    return " ".join(sentences)


def site_interval_words(found: SiteInterval) -> str:
    """``0.70 to 0.90``, or that there is none.

    Example:
        >>> site_interval_words(SiteInterval(name="AUROC", low=0.7, high=0.9, note=""))
        '0.70 to 0.90'
    """
    if found.low is None or found.high is None:
        return "none"
    return f"{score_number(found.name, found.low)} to {score_number(found.name, found.high)}"


def site_resampling_words(found: SiteIntervals) -> str:
    """What intervals by resampling sites are, how far they can be trusted, or why there are none.

    Example:
        >>> site_resampling_words(SiteIntervals(sites=3, unnamed=0, problem="few sites"))
        'No intervals by resampling sites: 3 sites are too few, 5 are needed.'
    """
    if found.problem == "no sites":
        return "No intervals by resampling sites: the label table names no site."
    if found.problem:
        sites = counted(found.sites, "site")
        are = "is" if found.sites == 1 else "are"
        return f"No intervals by resampling sites: {sites} {are} too few, {FEWEST_SITES} are needed."
    low, high = found.patients
    said = (
        f"By sites: the {counted(found.sites, 'site')} ({low} to {high} patients each) are drawn with "
        "replacement, each with all of its patients, which shows how a number would vary with other sites, "
        "too; the interval beside it only with other patients of these sites."
    )
    if found.unnamed:
        said += f" {counted(found.unnamed, 'patient')} without a site stand each for themselves."
    if found.sites < FEW_SITES:
        said += (
            " So few sites hardly show how much sites differ: take the interval as a rough one, somewhat too "
            "narrow."
        )
    return said


def difference_words(score: Score) -> str:
    """A difference with its sign and interval.

    Example:
        >>> difference_words(Score("AUROC", 0.05, -0.01, 0.1, chance=0.0, higher_is_better=True))
        '+0.05 (−0.01 to +0.10)'
    """
    if score.value is None:
        return "undefined"
    ends = (score.value, score.low, score.high)
    numbers = [signed(f"{number:+.2f}") for number in ends if number is not None]
    return numbers[0] if len(numbers) < 3 else f"{numbers[0]} ({numbers[1]} to {numbers[2]})"


def clinical_words(clinical: Clinical) -> str:
    """What the slides add to the clinical columns, as a sentence or two."""
    names = joined([f"“{column.name}”" for column in clinical.columns])
    gain = next(row.score for row in clinical.gains if row.name == "both − clinical")
    by_name = {row.name: row.score for row in clinical.models}
    reached = (
        f"{names} alone reach {score_words(by_name['clinical'])}; with the slides, "
        f"{score_words(by_name['both'])}. The change is {difference_words(gain)}"
    )
    if gain.value is None or gain.low is None or gain.high is None:
        return f"{reached}."
    if gain.low > 0:
        doubt = _doubt_of_gain(gain.value, gain.low, by_name["image"], clinical.test)
        if not doubt:
            return f"{reached}: the slides add to what these columns tell."
        return f"{reached}. But {doubt}, so this run does not show that the slides add to them."
    if gain.high < 0:
        return f"{reached}: adding the slides makes the order of the patients worse."
    return (
        f"{reached}: the interval contains no change, so this run does not show that the slides add to them."
    )


def _doubt_of_gain(gain: float, low: float, slides: Score, test: AddedByImage | None) -> str:
    """Why a gain whose interval begins at ``low`` above 0 is none; empty if it is one."""
    if slides.value is None or slides.value <= (slides.chance or 0.0):
        return (
            f"the slides alone reach {score_words(slides)}, no better than chance, and it is their "
            "prediction turned round that was added"
        )
    if test is not None and test.p >= 0.05:
        return f"the test below does not find more than chance ({p_words(test.p)})"
    if test is not None and test.crossed and gain <= CROSSED_REACH * (gain - low):
        return (
            f"in cross-validation chance reaches up to {CROSSED_REACH:.1f} times as far as an interval says, "
            "and then the interval would contain no change"
        )
    return ""
