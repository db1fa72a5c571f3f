"""The sentences of the report: what a number means to a reader who does not work with metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence

from histonic.core.calls import is_point
from histonic.core.task import Task, TaskKind
from histonic.metrics.inference.scores import Score
from histonic.stages.evaluate.chance import CROSSED_REACH, Verdict
from histonic.stages.evaluate.evaluated import POOLED
from histonic.stages.report.document.sections import ForestRow
from histonic.stages.report.wording.terms import GLOSSARY as GLOSSARY
from histonic.stages.report.wording.terms import GLOSSES, RANGES, READING
from histonic.stages.report.wording.terms import MINUS as MINUS
from histonic.stages.report.wording.terms import NBSP as NBSP
from histonic.stages.report.wording.terms import READING_ALL as READING_ALL

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
    return signed(f"{value:.{min(decimals, 8)}f}")


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
    return signed("0.00" if text == "-0.00" else text)


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


def signed(text: str) -> str:
    """The text with the minus sign of typography."""
    return text.replace("-", MINUS)
