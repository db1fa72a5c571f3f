"""Whose label is missing: patients without one compared with those who have one, column by column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from histonic.core.documents import Part, SparsePart
from histonic.metrics.inference.comparisons import holm
from histonic.metrics.ranks import FloatArray
from histonic.runs.patient_columns import as_numbers

FEWEST = 5
"""Patients with and without a label, each with a value of the column, that a test takes."""
MOST_LEVELS = 12
PERMUTATIONS = 1999


class LevelShare(Part):
    """Patients of one word among those with a label, and among those without."""

    name: str
    present: int
    missing: int


class Spread(Part):
    """Median and quartiles."""

    median: float
    low: float
    high: float


class MissingColumn(SparsePart):
    """One column of patients with and without a label.

    Attributes:
        name: Of the column.
        kind: Whether it holds numbers or words.
        present: Patients with a label and a value here.
        missing: Patients without a label, with a value here.
        of_present: Of a column of numbers.
        of_missing: The same of those without a label.
        levels: Of a column of words.
        difference: Standardised: of numbers the difference of the means (missing less present) over the
            pooled standard deviation, of words the largest difference of a word's shares. None where a side
            is empty.
        p: By permutation of who has a label, corrected by Holm's method for all columns; None with few.
    """

    name: str
    kind: Literal["number", "category"]
    present: int
    missing: int
    of_present: Spread | None = None
    of_missing: Spread | None = None
    levels: tuple[LevelShare, ...] = ()
    difference: float | None
    p: float | None


class MissingLabels(Part):
    """Patients without a label for one target beside those who have one.

    Attributes:
        present: Patients with one.
        missing: Patients without, those whom no target is known of among them.
        unused: Of these, patients who were left out of the run for it.
        columns: What was compared.
    """

    present: int
    missing: int
    unused: int
    columns: tuple[MissingColumn, ...]


def missing_labels(
    present: Sequence[str],
    missing: Sequence[str],
    unused: Sequence[str],
    columns: Mapping[str, Mapping[str, str]],
    seed: int = 0,
) -> MissingLabels | None:
    """Compare patients whose label is missing with those who have one.

    No prediction enters, so that p-values need no correction for cross-validation.

    Args:
        present: Patients with a label.
        missing: Patients of the run without one.
        unused: Patients left out of the run because no label is known of them.
        columns: Cell per column and patient, empty where missing.
        seed: Of the permutations.

    Returns:
        None if nobody's label is missing.

    Example:
        >>> found = missing_labels(["A", "B"], ["C"], [], {"age": {"A": "50", "B": "60", "C": "70"}})
        >>> found.columns[0].of_missing.median, found.columns[0].p
        (70.0, None)
    """
    without = [*missing, *unused]
    if not without:
        return None
    rng = np.random.default_rng(seed)
    rows = [_column(name, cells, present, without, rng) for name, cells in columns.items()]
    kept = [row for row in rows if row is not None]
    corrected = iter(holm([row.p for row in kept if row.p is not None]).tolist())
    kept = [row if row.p is None else row.model_copy(update={"p": next(corrected)}) for row in kept]
    return MissingLabels(present=len(present), missing=len(without), unused=len(unused), columns=tuple(kept))


def _column(
    name: str,
    cells: Mapping[str, str],
    present: Sequence[str],
    without: Sequence[str],
    rng: np.random.Generator,
) -> MissingColumn | None:
    """None for a column that nobody has a value in, or of too many words."""
    here, there = ([cells[each] for each in who if cells.get(each)] for who in (present, without))
    lacks = np.repeat([False, True], [len(here), len(there)])
    if not len(lacks):
        return None
    few = min(len(here), len(there)) < FEWEST
    numbers = as_numbers([*here, *there])
    if numbers is not None:
        return MissingColumn(
            name=name,
            kind="number",
            present=len(here),
            missing=len(there),
            of_present=_spread(numbers[~lacks]),
            of_missing=_spread(numbers[lacks]),
            difference=_standardised(numbers, lacks),
            p=None if few or np.ptp(numbers) == 0 else _p_of_numbers(numbers, lacks, rng),
        )
    counts = Counter(here), Counter(there)
    names = sorted({*counts[0], *counts[1]})
    if len(names) > MOST_LEVELS:
        return None
    shares = [[side[each] / max(sum(side.values()), 1) for each in names] for side in counts]
    apart = max(abs(one - two) for one, two in zip(*shares, strict=True)) if here and there else None
    return MissingColumn(
        name=name,
        kind="category",
        present=len(here),
        missing=len(there),
        levels=tuple(
            LevelShare(name=each, present=counts[0][each], missing=counts[1][each]) for each in names
        ),
        difference=apart,
        p=None if few or len(names) < 2 else _p_of_words([*here, *there], names, lacks, rng),
    )


def _spread(numbers: FloatArray) -> Spread | None:
    if not len(numbers):
        return None
    low, median, high = (float(each) for each in np.quantile(numbers, (0.25, 0.5, 0.75)))
    return Spread(median=median, low=low, high=high)


def _standardised(numbers: FloatArray, lacks: npt.NDArray[np.bool_]) -> float | None:
    sides = [numbers[~lacks], numbers[lacks]]
    if min(map(len, sides)) < 2:
        return None
    pooled = float(np.sqrt(np.mean([side.var(ddof=1) for side in sides])))
    return float((sides[1].mean() - sides[0].mean()) / pooled) if pooled > 0 else None


def _p_of_numbers(numbers: FloatArray, lacks: npt.NDArray[np.bool_], rng: np.random.Generator) -> float:
    """Of a difference of mean ranks at least as large, whichever way."""
    order = numbers.argsort().argsort().astype(np.float64)
    for value in np.unique(numbers):
        order[numbers == value] = order[numbers == value].mean()
    centred = order - order.mean()
    return _permuted(lambda who: np.abs(who @ centred), lacks, rng)


def _p_of_words(
    cells: Sequence[str], names: Sequence[str], lacks: npt.NDArray[np.bool_], rng: np.random.Generator
) -> float:
    """Of a chi-squared statistic at least as large."""
    member = np.array([[cell == name for name in names] for cell in cells], dtype=np.float64)
    share = member.mean(axis=0)
    expected = share * lacks.sum()

    def statistic(who: FloatArray) -> FloatArray:
        return np.asarray((((who @ member) - expected) ** 2 / expected).sum(axis=-1))

    return _permuted(statistic, lacks, rng)


def _permuted(statistic, lacks: npt.NDArray[np.bool_], rng: np.random.Generator) -> float:  # type: ignore[no-untyped-def]
    who = lacks.astype(np.float64)
    observed = float(statistic(who[None])[0])
    drawn = statistic(rng.permuted(np.repeat(who[None], PERMUTATIONS, axis=0), axis=1))
    # Rounding must not make an equal statistic a smaller one.
    return float((1 + np.sum(drawn >= observed - 1e-9 * max(1.0, abs(observed)))) / (1 + PERMUTATIONS))
