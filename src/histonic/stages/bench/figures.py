"""What a bench finds: stages and their speeds, the floor, how much of it is reached, and what would help."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from histonic.core.documents import Document, Part

HELPS = 1.15
"""Something is advised only if it was measured to be so many times as fast."""
NOTICEABLE_CORES = 0.2
FAR_BELOW = 0.7
WARM_UP = 2


@dataclass(frozen=True)
class Rate:
    """Things done in some wall time, and the time that cores worked on them."""

    count: int
    seconds: float
    core_s: float = 0.0

    @property
    def per_second(self) -> float:
        """Things a second."""
        return self.count / self.seconds

    @property
    def core_s_each(self) -> float:
        """Seconds of cores that each takes."""
        return self.core_s / self.count


def rate_of(steps: Iterable[int], seconds: float, warm_up: int = WARM_UP) -> Rate:
    """How fast an iterator goes, from its item ``warm_up`` on.

    Args:
        steps: How many things each of its items is.
        seconds: It is left off after so many, but not before one item was timed.
        warm_up: Items that are not counted; of an iterator that has no more, none is left out.

    Raises:
        ValueError: It has no item.

    Example:
        >>> rate_of(iter([3, 3, 4, 4]), seconds=10).count
        8
    """
    began, core_began = time.perf_counter(), time.process_time()
    marks = [(0, began, core_began)]
    for step in steps:
        marks.append((marks[-1][0] + step, time.perf_counter(), time.process_time()))
        if len(marks) > warm_up + 1 and marks[-1][1] - marks[warm_up][1] >= seconds:
            break
    if len(marks) == 1:
        raise ValueError("nothing was done")
    first = marks[warm_up] if len(marks) > warm_up + 1 else marks[0]
    last = marks[-1]
    return Rate(last[0] - first[0], max(last[1] - first[1], 1e-9), last[2] - first[2])


def repeated(step: Callable[[], int], seconds: float) -> Rate:
    """How fast a step is that is done again and again.

    Args:
        step: Does it, and says how many things that were.
        seconds: For so long, after some that are not counted.
    """

    def endless() -> Iterable[int]:
        while True:
            yield step()

    return rate_of(endless(), seconds)


class StageFigure(Part):
    """One stage.

    Attributes:
        name: What is done.
        per_second: Tiles or steps a second of this stage alone; None if it has no speed of its own.
        share: Of the time of the whole, what this stage alone would have taken; None if it took no part.
        how: What was measured.
    """

    name: str
    per_second: float | None
    share: float | None
    how: str


class BenchResult(Document):
    """What a bench found.

    Attributes:
        what: ``compress``, ``encoder`` or ``train``.
        subject: The slide, store or encoder.
        encoder: Name of the encoder or aggregator.
        unit: ``tiles`` or ``steps``.
        device: Where it was computed.
        precision: Of the arithmetic.
        cores: That this process may use.
        seconds: For each figure, as asked.
        stages: Each measured alone.
        achieved: Tiles or steps a second of the whole.
        floor: What arithmetic alone allows, a second; None where nothing was put together.
        of_floor: Achieved over floor.
        start_s: Seconds before the first of them.
        peak_bytes: Resident memory of all processes at the peak; 0 where the system does not tell.
        other_cores: Cores that other programs kept busy meanwhile.
        pace: What sets the pace, in words.
        advice: What would help, as far as it was measured.
    """

    FORMAT = "histonic-bench-1"

    what: str
    subject: str
    encoder: str
    unit: str
    device: str
    precision: str
    cores: int
    seconds: float
    stages: tuple[StageFigure, ...]
    achieved: float
    floor: float | None
    of_floor: float | None
    start_s: float
    peak_bytes: int
    other_cores: float
    pace: str
    advice: tuple[str, ...]


def told_others(other_cores: float, cores: int) -> list[str]:
    """A line on other programs, if they were noticed."""
    if other_cores < NOTICEABLE_CORES:
        return []
    return [
        f"measure again when the machine is quiet: other programs kept {other_cores:.1f} cores busy, "
        f"of the {cores} that may be used here"
    ]


def told_precision(asked: str, rates: dict[str, Rate]) -> list[str]:
    """A line on the other arithmetic, if it was measured to be faster."""
    other = next((name for name in rates if name != asked), None)
    if other is None:
        return []
    gain = rates[other].per_second / rates[asked].per_second
    return [f"--precision {other}: {gain:.1f} times as fast, measured now"] if gain >= HELPS else []
