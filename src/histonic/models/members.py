"""Several networks' predictions joined into the columns that a user reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import FiniteFloat, NonNegativeInt, PositiveInt

from histonic.core.calls import Calls, call_column, is_point
from histonic.core.documents import parse_part
from histonic.core.errors import BundleError
from histonic.core.task import Task
from histonic.metrics.discrimination.labels import CALLED
from histonic.metrics.discrimination.operating_points import is_called
from histonic.nn.heads import LEAST_SHARE, Heads

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RiskScale:
    """The log risks that one network gives its training patients.

    Attributes:
        mean: Their mean.
        std: Their standard deviation, 1 if they are all the same.
        cut: Their median; a patient above it counts as high risk.
    """

    mean: float
    std: float
    cut: float

    @classmethod
    def of(cls, risks: FloatArray) -> RiskScale:
        """From the training patients' log risks ``(P,)``."""
        std = float(risks.std())
        return cls(float(risks.mean()), std if std > 0 else 1.0, float(np.median(risks)))

    def standardise(self, risks: Any) -> Any:
        """Risks in standard deviations from the mean of the training patients."""
        return (risks - self.mean) / self.std


@dataclass(frozen=True)
class Place:
    """Which network it is, and what it is made of.

    Attributes:
        repeat: Which of the repeated cross-validations it belongs to.
        fold: Number of the fold it was trained in.
        initialisation: Which of the fold's networks it is.
        aggregator: Name in ``AGGREGATORS``.
        crop_cells: Side of its crops.
    """

    repeat: NonNegativeInt
    fold: NonNegativeInt
    initialisation: NonNegativeInt
    aggregator: str
    crop_cells: PositiveInt


@dataclass(frozen=True)
class Member(Place):
    """What a network of an ensemble is, and what it knows of its training patients.

    Attributes:
        prevalence: Per classification task the shares of the classes.
        risks: Per survival task the scale of the risks.
        thresholds: Per binary task and operating point the threshold of the fold's networks together; none
            where its validation patients gave none, nor in files of earlier versions.
    """

    prevalence: Mapping[str, Sequence[float]]
    risks: Mapping[str, RiskScale]
    thresholds: Mapping[str, Mapping[str, FiniteFloat]] = field(default_factory=dict)

    @classmethod
    def of(cls, place: Place, heads: Heads, train: Mapping[str, FloatArray]) -> Member:
        """From a trained network's heads and its predictions ``(P, 1)`` of its training patients."""
        tasks = heads.tasks
        return cls(
            **asdict(place),
            prevalence={
                t.name: heads[t.name].prevalence.double().tolist() for t in tasks if t.is_classification
            },
            risks={t.name: RiskScale.of(train[t.name][:, 0]) for t in tasks if t.kind == "survival"},
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Member:
        """The inverse of :meth:`to_dict`.

        Raises:
            BundleError: The values are damaged; the field is named.
        """
        return parse_part(cls, values, "a network", BundleError, "Make the file that holds it anew.")


def prediction_columns(
    task: Task,
    predictions: Sequence[FloatArray],
    members: Sequence[Member],
    calls: Calls = "probable",
    points: Sequence[str] = (),
) -> dict[str, list[Any]]:
    """Columns for one task, joined over the networks.

    Probabilities and values are averaged. The predicted class is the most probable one, of ordered classes
    the median of the predicted distribution; ``decided_by`` says so in the table. With ``calls="balanced"``
    it is the one whose probability is highest compared with its share among the training patients, which may
    be far from the most probable one. A class that no network has seen is never predicted. An ordinal score
    is the mean of the predicted distribution, in the classes' own numbers if they are numbers.

    At each operating point a binary target has a column more: the positive class where the mean probability
    reaches the mean threshold of the networks, empty where no network has one. ``calls`` may be an operating
    point, too.

    Risks are standardised by each network's training patients and averaged; a patient is at high risk if most
    networks put the risk above their cut, and at a draw if the mean distance to the cut does.

    Args:
        task: The target.
        predictions: Per network ``(P, W)``, see :meth:`histonic.nn.heads.Head.predict`.
        members: The networks, in the same order.
        calls: By which rule a class is called.
        points: Names of the operating points.

    Example:
        >>> task = Task("msi", "binary", ("msi",), ("no", "yes"))
        >>> member = Member(0, 0, 0, "convnet", 20, {"msi": [0.9, 0.1]}, {})
        >>> prediction_columns(task, [np.array([[0.8, 0.2]])], [member])
        {'predicted': ['no'], 'decided_by': ['most probable'], 'p_no': [0.8], 'p_yes': [0.2]}
        >>> prediction_columns(task, [np.array([[0.8, 0.2]])], [member], "balanced")["predicted"]
        ['yes']
    """
    if task.kind == "survival":
        return _risk_columns([member.risks[task.name] for member in members], predictions)
    mean = np.mean(predictions, axis=0)
    if task.kind == "regression":
        return {"predicted": mean[:, 0].tolist()}
    prevalence = np.array([member.prevalence[task.name] for member in members])
    seen = (prevalence > LEAST_SHARE).any(axis=0)
    rule: str = calls
    if calls == "balanced":
        called = np.argmax(np.where(seen, mean / prevalence.mean(axis=0), -np.inf), axis=1)
    elif task.kind == "binary" and is_point(calls):
        called = is_called(mean[:, 1], _required_threshold(task, members, calls)).astype(np.int64)
    else:
        rule = "median" if task.kind == "ordinal" else "most probable"
        called = CALLED[rule](np.where(seen, mean, 0.0))
    columns: dict[str, list[Any]] = {
        "predicted": [task.classes[index] for index in called],
        "decided_by": [rule] * len(called),
    }
    columns.update({f"p_{name}": mean[:, index].tolist() for index, name in enumerate(task.classes)})
    if task.kind == "ordinal":
        columns["score"] = (mean @ np.array(task.class_values)).tolist()
    for point in points if task.kind == "binary" else ():
        threshold = mean_threshold(task, members, point)
        columns[call_column(point)] = (
            [""] * len(mean)
            if threshold is None
            else [task.classes[int(reached)] for reached in is_called(mean[:, 1], threshold)]
        )
    return columns


def mean_threshold(task: Task, members: Sequence[Member], point: str) -> float | None:
    """The threshold of several networks together, whose probabilities are averaged; None if none has one."""
    found = [member.thresholds.get(task.name, {}).get(point) for member in members]
    known = [threshold for threshold in found if threshold is not None]
    return float(np.mean(known)) if known else None


def _required_threshold(task: Task, members: Sequence[Member], point: str) -> float:
    threshold = mean_threshold(task, members, point)
    if threshold is None:
        raise BundleError(
            f"Call the classes of {task.name!r} at {point}.",
            "No network has a threshold for it.",
            "Train again with another --calls.",
        )
    return threshold


def _risk_columns(scales: Sequence[RiskScale], predictions: Sequence[FloatArray]) -> dict[str, list[Any]]:
    pairs = list(zip(scales, predictions, strict=True))
    risk = np.mean([scale.standardise(found[:, 0]) for scale, found in pairs], axis=0)
    above = np.array(
        [scale.standardise(found[:, 0]) - scale.standardise(scale.cut) for scale, found in pairs]
    )
    votes = (above > 0).sum(axis=0) * 2 - len(pairs)
    high = (votes > 0) | ((votes == 0) & (above.mean(axis=0) > 0))
    return {"risk": risk.tolist(), "high_risk": high.astype(int).tolist()}
