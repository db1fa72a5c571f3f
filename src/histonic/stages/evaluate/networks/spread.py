"""How much of a result hangs on the training: single networks, repeats, and patients that were learned from.

The interval of a metric says how it would vary with other patients, the networks as they are. What is here is
the other half: how it varies with the networks, the patients as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from histonic.core.documents import Part
from histonic.core.errors import CohortError
from histonic.runs.networks import PARTS
from histonic.runs.predictions import PredictionTable
from histonic.runs.primary import primary_of
from histonic.runs.repeats import mean_table
from histonic.stages.evaluate.evaluate import EVALUATORS
from histonic.stages.evaluate.evaluated import number_or_none
from histonic.stages.evaluate.survival import order_measures


class PartValue(Part):
    """The leading metric of the patients in one part of each fold.

    Attributes:
        part: Which.
        patients: Mean number of them in a fold.
        value: With the predictions of a fold's networks averaged, as for test patients; the mean over the
            repeats. None where it is undefined.
        by_network: With one network a fold, the first, the second and so on; means over the repeats.
    """

    part: Literal["train", "validation", "test"]
    patients: float
    value: float | None
    by_network: tuple[float | None, ...]


class TrainingSpread(Part):
    """What the training adds to the uncertainty of the leading metric, and how optimistic it is.

    Attributes:
        metric: The leading one.
        higher_is_better: Its direction.
        initialisations: Networks a fold.
        fitted: The networks are heads fitted by a problem with one solution, so that there is one a fold;
            ``train`` then holds validation patients as well, ``validation`` their inner cross-validation.
        parts: ``train``, ``validation`` and ``test``, as far as known.
        by_repeat: Of test patients, in each repeat; none with one repeat.
        optimism: By how much the metric is better among patients who were learned from than among tested
            ones; None where either is unknown.
    """

    metric: str
    higher_is_better: bool
    initialisations: int
    fitted: bool
    parts: tuple[PartValue, ...]
    by_repeat: tuple[float | None, ...]
    optimism: float | None


def training_spread(table: PredictionTable) -> TrainingSpread:
    """The leading metric by part, by network and by repeat.

    Patients of the same fold are compared, as in the leading metric itself. A patient who trained in several
    folds counts in each.

    Args:
        table: From :func:`histonic.runs.networks.read_networks`.

    Raises:
        TableError: A cell cannot be used.
    """
    table = table.rows(table.has_truth())
    part = np.array(table.texts("part"), dtype=object)
    repeat, number = (table.numbers(name) for name in ("repeat", "initialisation"))
    repeats, numbers = np.unique(repeat), np.unique(number)
    parts, by_repeat = [], []
    for name in PARTS:
        values, single, sizes = [], [], []
        for each in repeats:
            mine = [table.rows((part == name) & (repeat == each) & (number == which)) for which in numbers]
            if not all(len(one.frame) for one in mine):
                continue
            values.append(leading_value(mean_table(mine)))
            single.append([leading_value(one) for one in mine] if len(mine) > 1 else values[-1:])
            sizes.append(len(mine[0].frame) / len(np.unique(mine[0].numbers("fold"))))
        if not values:
            continue
        if name == "test" and len(repeats) > 1:
            by_repeat = [number_or_none(value) for value in values]
        parts.append(
            PartValue(
                part=name,
                patients=float(np.mean(sizes)),
                value=number_or_none(np.mean(values)),
                by_network=tuple(number_or_none(value) for value in np.mean(single, axis=0)),
            )
        )
    better = _higher(table)
    known = {each.part: each.value for each in parts}
    train, test = known.get("train"), known.get("test")
    optimism = None if train is None or test is None else (train - test) * (1 if better else -1)
    return TrainingSpread(
        metric=primary_of(table.task),
        higher_is_better=better,
        initialisations=len(numbers),
        fitted=_learned_from_all(table),
        parts=tuple(parts),
        by_repeat=tuple(by_repeat),
        optimism=optimism,
    )


def _learned_from_all(table: PredictionTable) -> bool:
    """Whether the patients of a fold's validation are among those its networks learned from."""
    seen: dict[str, set[tuple[str, ...]]] = {"train": set(), "validation": set(), "test": set()}
    keys = zip(*(table.texts(name) for name in ("part", "repeat", "fold", "patient_id")), strict=True)
    for part, *key in keys:
        seen[part].add(tuple(key))
    return bool(seen["train"] & seen["validation"])


def _higher(table: PredictionTable) -> bool:
    return primary_of(table.task) not in ("Brier score", "Mean absolute error", "Median absolute error")


def leading_value(table: PredictionTable) -> float:
    """The leading metric of some patients, compared within their fold; NaN where it is undefined.

    Args:
        table: One row a patient and fold.
    """
    try:
        if table.task.kind == "survival":
            # Whatever needs curves as well would take ten times as long.
            measures = order_measures(table)
            wanted = [each for each in measures if each.name == primary_of(table.task)]
        else:
            wanted = EVALUATORS[table.task.kind](table).measures[:1]
    except CohortError:
        return float("nan")
    ones: npt.NDArray[np.float64] = np.ones((1, len(table.frame)))
    return float(wanted[0].statistic(ones)[0]) if wanted else float("nan")


def spread_of(values: Sequence[float | None]) -> tuple[float, float, float] | None:
    """Least, greatest and standard deviation of at least two values.

    Example:
        >>> [round(value, 3) for value in spread_of([0.5, 0.7, None])]
        [0.5, 0.7, 0.141]
    """
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    return min(known), max(known), float(np.std(known, ddof=1))
