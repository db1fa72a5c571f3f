"""Which class is called: the rules by which one is, and the operating points of a binary target."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator

PointKind = Literal["youden", "sensitivity", "specificity", "threshold", "cost"]
PLAIN_RULES = ("probable", "balanced")
"""Rules for any number of classes: the most probable class (of ordered ones the median), or the one that is
most probable against its share among the training patients."""
EXAMPLES = (
    "youden, sensitivity=0.95, specificity=0.9, threshold=0.3 or cost=1:5 (false positive : false negative)"
)


@dataclass(frozen=True)
class OperatingPoint:
    """How a threshold on the probability of the positive class is found.

    Attributes:
        kind: ``youden``: sensitivity plus specificity is greatest; ``sensitivity`` and ``specificity``: this
            is reached, and the other is as great as it can be; ``threshold``: given; ``cost``: given by what
            a false positive and a false negative cost.
        values: The share, the threshold, or the two costs; none for ``youden``.

    Example:
        >>> OperatingPoint.parse("sensitivity=.950").name, OperatingPoint.parse("cost:1:4").threshold
        ('sensitivity=0.95', 0.2)
    """

    kind: PointKind
    values: tuple[float, ...] = ()

    @classmethod
    def parse(cls, text: str) -> OperatingPoint:
        """From ``KIND`` or ``KIND=VALUE``; a colon stands for the sign, too, and shares may be percents.

        Raises:
            ValueError: It is no operating point; the message says what one looks like.
        """
        kind, *rest = re.split("[=:]", text.strip().lower())
        try:
            values = tuple(_number(each) for each in rest)
        except ValueError:
            raise ValueError(f"{text!r} holds no number that can be read; write {EXAMPLES}") from None
        for known in get_args(PointKind):
            if kind == known and len(values) == {"youden": 0, "cost": 2}.get(known, 1):
                point = cls(known, values)
                point._require_sense(text)
                return point
        raise ValueError(f"{text!r} is no operating point; write {EXAMPLES}")

    def _require_sense(self, text: str) -> None:
        if self.kind == "cost" and not all(0 < cost < float("inf") for cost in self.values):
            raise ValueError(f"{text!r}: costs are above 0")
        if self.kind not in ("youden", "cost") and not 0 < self.values[0] < 1:
            raise ValueError(f"{text!r}: the share lies between 0 and 1, such as {self.kind}=0.9")

    @property
    def name(self) -> str:
        """The one way of writing it: ``youden``, ``sensitivity=0.95``, ``cost=1:5``."""
        values = ":".join(f"{each:.9g}" for each in self.values)
        return f"{self.kind}={values}" if values else self.kind

    @property
    def threshold(self) -> float | None:
        """The threshold where it is given, None where patients have to be asked.

        Of costs it is FP / (FP + FN): at this probability calling and not calling cost the same. Elkan, IJCAI
        17:973 (2001).
        """
        if self.kind == "threshold":
            return self.values[0]
        return self.values[0] / sum(self.values) if self.kind == "cost" else None


def _number(text: str) -> float:
    text = text.strip()
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


def is_point(rule: str) -> bool:
    """Whether classes are called at an operating point, and not by a rule for any number of classes.

    Example:
        >>> is_point("sensitivity=0.9"), is_point("balanced")
        (True, False)
    """
    try:
        OperatingPoint.parse(rule)
    except ValueError:
        return False
    return True


def call_column(point: str) -> str:
    """Column of a table of predictions with the class that is called at an operating point.

    Example:
        >>> call_column("youden")
        'at_youden'
    """
    return f"{CALL_PREFIX}{point}"


CALL_PREFIX = "at_"


def _point_name(text: str) -> str:
    return OperatingPoint.parse(text).name


def _rule_name(text: str) -> str:
    if text in PLAIN_RULES:
        return text
    try:
        return _point_name(text)
    except ValueError as error:
        raise ValueError(f"wanted is {' or '.join(PLAIN_RULES)}, or an operating point: {error}") from None


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


PointName = Annotated[str, AfterValidator(_point_name)]
PointNames = Annotated[tuple[PointName, ...], AfterValidator(_once)]
Calls = Annotated[str, AfterValidator(_rule_name)]
"""A rule: one of :data:`PLAIN_RULES`, or an operating point, by which binary targets are called."""
