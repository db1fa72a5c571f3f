"""Values of a target that may not be meant: classes that may be one, words and numbers for 'no value'."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from histonic.core.task import Task
from histonic.data.tables.issues import Issue, list_examples
from histonic.data.tables.label_table import LabelTable
from histonic.data.targets.classes import ODD_NUMBERS, doubtful_classes
from histonic.data.targets.targets import RowTarget

FAR = 3.0
"""So many times the range of the other values lies a number that stands for none."""
FEWEST_VALUES = 4
"""Other numbers that are needed to call one far off."""


def value_doubts(
    table: LabelTable,
    target: RowTarget,
    task: Task,
    values: Mapping[str, float | tuple[float, float]],
) -> list[Issue]:
    """Warnings about classes and numbers that may not be meant.

    Args:
        table: For messages.
        target: As read.
        task: With its classes.
        values: Per patient the index of the class, the number, or (time, event).
    """
    if task.is_classification:
        counts = Counter(task.classes[int(each)] for each in values.values() if not isinstance(each, tuple))
        return doubtful_classes(table, task.name, task.columns[-1], counts)
    # Of times more is known: see follow_up.
    numbers = {row: float(each) for row, each in target.values.items() if not isinstance(each, tuple)}
    far = far_numbers(numbers)
    if not far:
        return []
    found = f"{list_examples({row: f'{numbers[row]:g}' for row in far})}, far from the others."
    todo = "If it says that nobody knows, leave the cells empty. Nothing, if it is so."
    where = f"{table.where(task.columns[0])}, target {task.name!r}"
    return [Issue("warning", "Number that may mean 'no value'", where, found, todo)]


def far_numbers(numbers: Mapping[int, float]) -> list[int]:
    """Rows that hold -999, 99, 9999 or the like, far from all other values.

    Example:
        >>> far_numbers({2: 1.5, 3: 2.0, 4: 2.5, 5: 3.0, 6: -999.0})
        [6]
        >>> far_numbers({2: 95, 3: 97, 4: 98, 5: 99, 6: 100})
        []
    """
    others = [value for value in numbers.values() if value not in ODD_NUMBERS]
    if len(others) < FEWEST_VALUES:
        return []
    low, high = min(others), max(others)
    reach = FAR * max(high - low, 1e-9)

    def is_far(value: float) -> bool:
        below = value < low and (low >= 0 or value < low - reach)
        return value in ODD_NUMBERS and (below or value > high + reach)

    return [row for row, value in numbers.items() if is_far(value)]
