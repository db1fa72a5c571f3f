"""The sentences of the report: what a number means to a reader who does not work with metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence

from histonic.core.calls import is_point
from histonic.core.task import Task, TaskKind
from histonic.metrics.inference.scores import Score
from histonic.runs.documents import FIRST_LOOK, CohortCounts, RunDocument
from histonic.stages.evaluate.chance import CROSSED_REACH, Verdict
from histonic.stages.evaluate.clinical_fits import AddedByImage
from histonic.stages.evaluate.clinical_models import Clinical
from histonic.stages.evaluate.evaluated import POOLED
from histonic.stages.evaluate.groups import Grouping, GroupScore
from histonic.stages.report.document import ForestRow
from histonic.stages.report.terms import GLOSSARY as GLOSSARY
from histonic.stages.report.terms import GLOSSES, RANGES, READING
from histonic.stages.report.terms import MINUS as MINUS
from histonic.stages.report.terms import NBSP as NBSP
from histonic.stages.report.terms import READING_ALL as READING_ALL

CONCLUSIONS = {
    "better": "Better than chance:",
    "near": "Hardly told apart from chance:",
    "several": "Not told apart from chance among so many targets:",
    "covers": "Not told apart from chance:",
    "worse": "Worse than chance:",
    "unknown": "No interval:",
}
"""How the leading score stands to chance, in the head of the page."""
DIFFERS = 0.02
"""From here on the pooled value of a metric gets a sentence."""
KIND_WORDS: dict[TaskKind, str] = {
    "binary": "one of two classes",
    "multiclass": "one of several classes",
    "ordinal": "one of several ordered classes",
    "regression": "a number",
    "survival": "time to an event",
}


def reading(kind: TaskKind, decided_by: str) -> str:
    """How to read the predictions of a target.

    Args:
        kind: Of the target.
        decided_by: The rule in its table; empty in tables of versions that knew but one.
    """
    if is_point(decided_by):
        return (
            f"The class that is called is the positive one where its probability reaches the threshold of "
            f"{decided_by}; no patient had a say in the threshold that he or she is called by."
        )
    return READING[kind if kind in READING else decided_by or "balanced"]


def base_name(name: str) -> str:
    """The metric behind a score's name: ``AUROC of high`` is an AUROC.

    Example:
        >>> base_name("AUROC of high"), base_name("AUC at 12"), base_name("R²")
        ('AUROC', 'AUC at a time', 'R²')
    """
    name = name.removesuffix(POOLED)
    if name.startswith("AUROC of "):
        return "AUROC"
    if name.startswith("AUC at "):
        return "AUC at a time"
    return "Observed / expected events" if name.startswith("Observed / expected events") else name


def gloss(name: str) -> str:
    """What a metric means, in a sentence or two; empty where another row says it, and for a new name."""
    silent = name.startswith("AUROC of ") or name.endswith(POOLED)
    return "" if silent else GLOSSES.get(base_name(name), "")


def significant(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits and without an exponent; a dash if there is none.

    Example:
        >>> significant(1234.4), significant(-0.01234), significant(2.0), significant(None)
        ('1234', '−0.0123', '2.00', '–')
    """
    if value is None:
        return "–"
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return _signed(f"{value:.{min(decimals, 8)}f}")


def compact(value: float | None) -> str:
    """A number as short as it can be said, for means and times.

    Example:
        >>> compact(12.0), compact(0.5), compact(33.333)
        ('12', '0.5', '33.3')
    """
    text = significant(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def score_number(name: str, value: float | None) -> str:
    """A score's value as printed: two decimals on a fixed scale, else three digits.

    Example:
        >>> score_number("AUROC", 0.8349), score_number("Mean absolute error", 12.345)
        ('0.83', '12.3')
    """
    if value is None:
        return "–"
    if base_name(name) not in RANGES:
        return significant(value)
    text = f"{value:.2f}"
    return _signed("0.00" if text == "-0.00" else text)


def line_words(slope: float, intercept: float) -> str:
    """A fitted line as printed.

    Example:
        >>> line_words(-0.393, 60.71)
        '60.7 − 0.393 × prediction'
    """
    sign = MINUS if slope < 0 else "+"
    return f"{significant(intercept)} {sign} {significant(abs(slope))} × prediction"


def p_words(p: float | None) -> str:
    """A p-value as printed.

    Example:
        >>> p_words(0.0001), p_words(0.034), p_words(None)
        ('p < 0.001', 'p = 0.034', 'no p-value: one group only')
    """
    if p is None:
        return "no p-value: one group only"
    return "p < 0.001" if p < 0.001 else f"p = {significant(p, 2)}"


def interval_words(score: Score) -> str:
    """``0.70 to 0.90``, or that there is none."""
    if score.low is None or score.high is None:
        return "none"
    return f"{score_number(score.name, score.low)} to {score_number(score.name, score.high)}"


def interval_text(row: ForestRow) -> str:
    """``0.81 (0.70 to 0.90)``, for the description of a figure."""
    return f"{row.value:.2f} ({row.low:.2f} to {row.high:.2f})"


def chance_words(score: Score, verdict: Verdict, label: str) -> str:
    """What the interval of the leading score means, as a sentence or two."""
    chance = score_number(score.name, score.chance)
    crossed = verdict.interval is not None and verdict.interval.low != score.low
    wider = f", also if it is taken {CROSSED_REACH:.1f} times as wide for cross-validation" if crossed else ""
    many = f" and for the {verdict.targets} targets together ({p_words(verdict.p_holm)})"
    wider += many if verdict.targets > 1 else ""
    return {
        "better": f"All of the interval is better than the chance level ({chance}){wider}: the predictions "
        f"do carry information about {label}.",
        "near": f"The interval leaves out the chance level ({chance}), but in cross-validation, where "
        "patients predict each other, networks that have learned nothing but noise stray from chance up to "
        f"{CROSSED_REACH:.1f} times as far as an interval says. Taken so much wider it is "
        f"{_judged_words(score, verdict)}, which contains chance: this run does not show that the slides "
        f"tell anything about {label}.",
        "several": f"The interval leaves out the chance level ({chance}), but {verdict.targets} targets were "
        f"tried, of which one may stand out by chance: corrected for that, {p_words(verdict.p_holm)}. This "
        f"run does not show that the slides tell anything about {label}.",
        "covers": f"The interval contains the chance level ({chance}): this run does not show that the "
        f"slides tell anything about {label}.",
        "worse": f"All of the interval is worse than the chance level ({chance}){wider}: the predictions "
        "point the wrong way. Check the coding of the labels before reading on.",
        "unknown": "There is no interval to set against chance.",
    }[verdict.word]


def _judged_words(score: Score, verdict: Verdict) -> str:
    """The interval by which a score was judged, no wider than its metric can be."""
    low, high = RANGES.get(base_name(score.name), (-math.inf, math.inf))
    ends = verdict.interval or (math.nan, math.nan)
    ends = (max(low, ends[0]), min(high, ends[1]))
    return " to ".join(score_number(score.name, end) for end in ends)


def pooled_words(scores: Sequence[Score]) -> str:
    """What all pairs of patients give where the leading score takes those of a fold; empty if they agree.

    Args:
        scores: Of a target, the leading one first.
    """
    leading = scores[0]
    pooled = next((score for score in scores if score.name == leading.name + POOLED), None)
    if pooled is None or pooled.value is None or leading.value is None:
        return ""
    if abs(pooled.value - leading.value) < DIFFERS:
        return ""
    return (
        f"Over all pairs of patients, also of different folds, the {leading.name} is "
        f"{score_number(leading.name, pooled.value)}. The two differ where each fold's predictions carry the "
        "level of the patients who trained for it, where folds differ in their patients, and by chance. The "
        "first number is the one to judge by, the second the one to set against published figures that pool "
        "folds."
    )


def score_words(score: Score) -> str:
    """A score with its interval: ``AUROC 0.81 (95 % interval 0.70 to 0.90)``."""
    if score.value is None:
        return f"{score.name} undefined"
    value = score_number(score.name, score.value)
    if score.low is None or score.high is None:
        return f"{score.name} {value} (no interval)"
    return f"{score.name} {value} (95{NBSP}% interval {interval_words(score)})"


def pair_words(score: Score, task: Task, crossed: bool = False) -> str:
    """The leading score as a number of patients out of 100, where it is one; else what it means."""
    if score.value is None:
        return ""
    hundred, fold = round(100 * score.value), " of the same fold" if crossed else ""
    if score.name == "AUROC" and task.kind == "binary":
        other, positive = task.classes
        return (
            f"Of 100 pairs of one “{positive}” and one “{other}” patient{fold}, the “{positive}” one gets "
            f"the higher score in {hundred}; guessing would manage 50."
        )
    if score.name == "AUROC":
        return (
            f"Of 100 pairs of one patient of a class and one of another class{fold}, the right one gets "
            f"the higher score for that class in {hundred} (mean over the classes); guessing would manage 50."
        )
    if score.name == "C-index":
        return (
            f"Of 100 pairs of patients{fold} of whom one is known to have had the event first, that one has "
            f"the higher risk in {hundred}; guessing would manage 50."
        )
    return gloss(score.name)


def counted(count: int, noun: str) -> str:
    """``1 patient``, ``2 patients``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def label_of(name: str) -> str:
    """A target's name for headings: ``overall_survival`` is overall survival."""
    return name.replace("_", " ").strip() or name


def joined(items: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def target_summary(score: Score, verdict: Verdict, n: int) -> str:
    """The leading score in a sentence, for the head of the page; the target's name stands before it."""
    chance = f"chance {score_number(score.name, score.chance)}"
    result = score_words(score).removesuffix(")") + f"; {chance})" if score.value is not None else "undefined"
    return f"{CONCLUSIONS[verdict.word]} {result}, in {counted(n, 'patient')}."


def opening(counts: CohortCounts, labels: Sequence[str], run: RunDocument) -> str:
    """The head of the page: what was done."""
    return (
        f"{counted(counts.slides_used, 'slide')} of {counted(counts.patients_used, 'patient')} were "
        f"used to predict {joined(labels)} from the slides "
        f"alone. {split_words(run)} The intervals say how far the result would vary with other "
        "patients." + (f" {FIRST_LOOK}" if run.quick else "")
    )


def split_words(run: RunDocument) -> str:
    """How patients were kept apart."""
    if run.split == "fixed":
        return (
            "The label table says which patients train and which are tested; those that are tested took no "
            "part in training."
        )
    if run.split == "given folds":
        return (
            f"The label table says who trains, who validates and who is tested in each of {run.folds} folds; "
            "no patient was predicted by networks that had seen that patient."
        )
    parts = f"{run.folds} parts" + (" that keep every site whole" if run.split == "site" else "")
    often = f", {run.repeats} times anew," if run.repeats > 1 else ""
    never = " nor the patient's site" if run.split == "site" else ""
    return (
        f"The patients were divided into {parts}{often} and every patient was predicted by networks that had "
        f"never seen that patient{never}."
    )


def folds_words(run: RunDocument, used: int, tested: int, without: int = 0) -> str:
    """How the folds of the tables below came about."""
    if run.split == "fixed":
        return (
            f"{counted(tested, 'patient')} of {used} were set aside by the label table and predicted; the "
            "rest trained the networks and decided when training stopped. The tables count the tested ones."
        )
    if run.split == "given folds":
        rest = f"; {used - tested} of {used} are tested in none" if tested < used else ""
        absent = (
            f" {counted(without, 'patient')} had no part in some of the folds (cohort.json names them)."
            if without
            else ""
        )
        return (
            f"The label table says who trains, who validates and who is tested in each of {run.folds} folds"
            f"{rest}. Where it names nobody who validates, a fifth of those who train did.{absent}"
        )
    how = {
        "site": "every site lies in one part, so that no network was tested on a site it had seen",
        "given parts": "the label table says who is in which",
    }.get(run.split, "they are alike in targets and sites as far as possible")
    first = " The tables show the first of the repeats." if run.repeats > 1 else ""
    return (
        f"The patients were divided into {run.folds} parts; all slides of a patient are in the same part, "
        f"and {how}. In turn each part was set aside and predicted (its fold), another one decided when "
        f"training stopped, and the networks learned from the rest.{first}"
    )


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


def difference_words(score: Score) -> str:
    """A difference with its sign and interval.

    Example:
        >>> difference_words(Score("AUROC", 0.05, -0.01, 0.1, chance=0.0, higher_is_better=True))
        '+0.05 (−0.01 to +0.10)'
    """
    if score.value is None:
        return "undefined"
    ends = (score.value, score.low, score.high)
    numbers = [_signed(f"{number:+.2f}") for number in ends if number is not None]
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


def missing_words(used: int, n: int) -> str:
    """How many of the patients a target's label is missing for; empty if none."""
    if n == used:
        return ""
    verb = "has" if used - n == 1 else "have"
    return (
        f"{used - n} of {counted(used, 'patient')} {verb} no value for this target in the label table and "
        "cannot be scored here."
    )


def _signed(text: str) -> str:
    return text.replace("-", MINUS)
