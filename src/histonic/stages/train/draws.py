"""Which patients make up a batch: classes in equal shares, events in every batch, every patient in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from histonic.core.task import Task

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
LEAST_EVENTS = 0.25
"""Share of events in batches balanced for survival, where the cohort has fewer."""


@dataclass(frozen=True)
class Group:
    """Patients that share a part of the batches: their indices, and that part (0 to 1)."""

    members: IntArray
    share: float


class BalancedDraws:
    """Draws batches of training patients.

    With several tasks they take turns: batch by batch another task's balance rules. In a batch ruled
    by a class, all classes have the same number of patients; by survival, at least a quarter has an
    event; by a value, every patient with a value is as likely. Where a task is survival, no batch is
    without an event.

    Args:
        tasks: The targets.
        targets: Per task ``(P,)`` or ``(P, 2)`` over the training patients, NaN where missing.
        batch: Patients in a batch.

    Example:
        >>> task = Task("msi", "binary", ("msi",), ("no", "yes"))
        >>> draws = BalancedDraws([task], {"msi": np.array([0, 0, 0, 1.0])}, batch=4)
        >>> sorted(draws.epoch(np.random.default_rng(0), steps=1)[0][-2:].tolist())
        [3, 3]
    """

    def __init__(self, tasks: Sequence[Task], targets: Mapping[str, FloatArray], batch: int) -> None:
        self.batch = batch
        self._rules = [groups for task in tasks if (groups := _groups(task, targets[task.name]))]
        self._events = [_event_rows(targets[task.name]) for task in tasks if task.kind == "survival"]
        self._patients = len(targets[tasks[0].name])

    def epoch(self, rng: np.random.Generator, steps: int) -> list[IntArray]:
        """Batches of patient indices; a patient comes again only after all others of the group."""
        decks = [[_Deck(group.members, rng) for group in groups] for groups in self._rules]
        batches = []
        for step in range(steps):
            rule = step % len(self._rules)
            counts = _split_batch(self.batch, self._rules[rule], rng)
            drawn = [deck.take(count) for deck, count in zip(decks[rule], counts, strict=True)]
            batches.append(self._with_events(np.concatenate(drawn), rng))
        return batches

    def class_shares(self, classes: int, targets: FloatArray) -> FloatArray:
        """Expected share of each class among the known targets of the drawn patients, ``(C,)``."""
        weight = np.zeros(self._patients)
        for groups in self._rules:
            for group in groups:
                weight[group.members] += group.share / len(group.members) / len(self._rules)
        known = ~np.isnan(targets)
        found = np.bincount(targets[known].astype(int), weight[known], minlength=classes)
        return np.asarray(found / found.sum(), np.float64)

    def _with_events(self, batch: IntArray, rng: np.random.Generator) -> IntArray:
        """The batch, its last patients replaced where a survival task has no event in it."""
        for place, rows in enumerate(self._events, start=1):
            if len(rows) and not np.isin(batch, rows).any():
                batch[-place] = rng.choice(rows)
        return batch


class _Deck:
    """Numbers drawn from a shuffled pile, which is shuffled again once it is used up."""

    def __init__(self, members: IntArray, rng: np.random.Generator) -> None:
        self._members = members
        self._rng = rng
        self._pile = members[:0]

    def take(self, count: int) -> IntArray:
        while len(self._pile) < count:
            self._pile = np.concatenate([self._pile, self._rng.permutation(self._members)])
        drawn, self._pile = self._pile[:count], self._pile[count:]
        return drawn


def _groups(task: Task, targets: FloatArray) -> list[Group]:
    if task.kind == "survival":
        events = _event_rows(targets)
        censored = np.flatnonzero(targets[:, 1] == 0)
        if not len(events) or not len(censored):
            return [Group(rows, 1.0) for rows in (events, censored) if len(rows)]
        share = max(len(events) / (len(events) + len(censored)), LEAST_EVENTS)
        return [Group(events, share), Group(censored, 1 - share)]
    if not task.is_classification:
        known = np.flatnonzero(~np.isnan(targets))
        return [Group(known, 1.0)] if len(known) else []
    present = np.unique(targets[~np.isnan(targets)])
    return [Group(np.flatnonzero(targets == index), 1 / len(present)) for index in present]


def _event_rows(targets: FloatArray) -> IntArray:
    return np.flatnonzero(targets[:, 1] == 1)


def _split_batch(batch: int, groups: Sequence[Group], rng: np.random.Generator) -> list[int]:
    """How many each group gives: its share of the batch, rounded up or down at random with the right mean."""
    edges = np.cumsum([group.share for group in groups]) * batch + rng.random()
    whole = np.floor(edges).astype(int)
    whole[-1] = batch  # whatever the shares add up to after rounding
    return [int(count) for count in np.diff(whole, prepend=0)]
