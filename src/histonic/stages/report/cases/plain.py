"""In plain words: what the checks of a map found, when not to read one, and what few patients tell."""

from __future__ import annotations

from collections.abc import Sequence

from histonic.core.task import TaskKind
from histonic.stages.evaluate.chance import AgainstChance
from histonic.stages.evaluate.curves import AnyCurves, ClassCurves, SurvivalCurves
from histonic.stages.evaluate.curves import Curves as Curves
from histonic.stages.evaluate.groups import FEW_CASES, FEW_PATIENTS

LEAST_IN_GROUP = 10
"""Patients in each group of a calibration figure, below which no line leads from group to group."""


def enough_in_groups(counts: Sequence[int]) -> bool:
    """Whether groups of a calibration figure hold patients enough for a line.

    Example:
        >>> enough_in_groups([12, 10]), enough_in_groups([12, 9]), enough_in_groups([])
        (True, False, False)
    """
    return bool(counts) and min(counts) >= LEAST_IN_GROUP


def dots_words(counts: Sequence[int]) -> str:
    """Why dots are not joined; empty where they are.

    Example:
        >>> dots_words([5, 5])
        ' With as few as 5 patients in a group each dot is mostly chance, so no line is drawn.'
    """
    if enough_in_groups(counts) or not counts:
        return ""
    few = min(counts)
    patients = "1 patient" if few == 1 else f"{few} patients"
    return f" With as few as {patients} in a group each dot is mostly chance, so no line is drawn."


def check_words(output: str, deletion: float, insertion: float, random: float, *, better: bool) -> str:
    """What taking cells away and putting them back showed, in plain words.

    Args:
        output: What cells speak for.
        deletion: Mean prediction while the cells that speak most for it are taken away first.
        insertion: Mean prediction while these are put back first.
        random: Mean prediction with cells taken away in random order.
        better: Whether both are better than every random order that was tried.
    """
    away, back, chance = (_number(each) for each in (deletion, insertion, random))
    test = (
        f"To test the map, cells were turned into average tissue one after another, first those that speak "
        f"most for “{output}”: on the way the prediction was {away} on average, against {chance} when cells "
        f"went in random order. Put back in the same order, it was {back}."
    )
    if better:
        return (
            test + " It fell sooner and came back sooner than by chance, as it should if these cells count."
        )
    return test


def fold_warning(word: AgainstChance, crossed: bool) -> str:
    """Why explanations are folded away; empty where the model is better than chance.

    Example:
        >>> fold_warning("better", True)
        ''
        >>> fold_warning("unknown", False)[:58]
        'Nobody knows whether this model is better than chance: its'
    """
    if word == "better":
        return ""
    if word == "unknown":
        return (
            "Nobody knows whether this model is better than chance: its leading score has no interval. What "
            "it looks at may mean nothing."
        )
    if word == "worse":
        return (
            "This model is worse than chance. What speaks for its predictions speaks for wrong ones; the "
            "maps are for finding the fault."
        )
    wide = ", at the width that cross-validation asks for," if crossed else ""
    several = " once all targets are counted together" if word == "several" else ""
    return (
        f"The interval of the leading score{wide} holds chance{several}: this model may have learned "
        "nothing. A map of it still has colours, and may show nothing but noise. Do not look for a mechanism "
        "in it."
    )


def scale_words(own: float | None, scale: float) -> str:
    """How one slide's values compare with the scale of all.

    Example:
        >>> scale_words(0.0018, 0.2)
        'Values on this slide reach 0.0018, a small part of the scale: nearly nothing speaks for or against.'
        >>> scale_words(0.19, 0.2)
        'Values on this slide reach 0.19 of the 0.20 at which colours end.'
    """
    if own is None:
        return ""
    if own < 0.1 * scale:
        return (
            f"Values on this slide reach {own:.2g}, a small part of the scale: nearly nothing speaks for or "
            "against."
        )
    return f"Values on this slide reach {_number(own)} of the {_number(scale)} at which colours end."


def too_few_words(kind: TaskKind, n: int, curves: AnyCurves) -> str:
    """That a cohort is too small to tell anything; empty if it is not.

    Args:
        kind: Of the target.
        n: Patients with a truth.
        curves: Of the target, which know events and classes.

    Example:
        >>> too_few_words("regression", 12, Curves())
        'Too few to tell: 12 patients. A few other patients would change whatever the numbers below are.'
        >>> too_few_words("regression", 400, Curves())
        ''
    """
    cases = _cases(curves)
    if n >= FEW_PATIENTS and (cases is None or cases >= FEW_CASES):
        return ""
    patients = "1 patient" if n == 1 else f"{n} patients"
    of = ("event" if cases == 1 else "events") if kind == "survival" else "of the rarest class"
    more = "" if cases is None else f", {cases} {of}"
    return (
        f"Too few to tell: {patients}{more}. A few other patients would change whatever the numbers below "
        "are."
    )


def _cases(curves: AnyCurves) -> int | None:
    """Events, or patients of the rarest class; None for values."""
    if isinstance(curves, ClassCurves):
        return min(map(sum, curves.confusion.counts))
    if isinstance(curves, SurvivalCurves) and curves.follow_up is not None:
        return curves.follow_up.events
    return None


def _number(value: float) -> str:
    """Two digits, without an exponent where that can be read.

    Example:
        >>> _number(0.2), _number(12.34), _number(-0.00012), _number(123.4)
        ('0.20', '12', '-0.00012', '123')
    """
    if value == 0:
        return "0"
    if abs(value) >= 99.5:
        return f"{value:.0f}"
    text = f"{value:#.2g}"
    return text.rstrip(".") if "e" not in text else f"{value:.2g}"
