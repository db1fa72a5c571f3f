"""Splits of a cohort into parts that never part a patient, balanced for targets and sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from histonic.core.cohort import Cohort, Patient
from histonic.core.errors import CohortError
from histonic.core.task import Task

FloatArray = npt.NDArray[np.float64]

SWAP_PASSES = 10
"""Passes over the patients in search of a better split; two or three are usual."""


def split_parts(cohort: Cohort, parts: int, seed: int, *, left_out: int = 2) -> dict[str, int]:
    """Divide the patients into parts for a rotation of training, validation and test.

    Only whole patients are placed. Parts have equal sizes (they differ by at most one) and are balanced
    for every target and for the site: per class; per quarter of a regression target; per event and half
    (short, long) of a survival time; per site; with missing targets as a group of their own.

    Placing is the iterative stratification of Sechidis, Tsoumakas and Vlahavas (ECML PKDD 2011): the
    group with the fewest patients still to place goes first, each of its patients to the part that
    lacks most of that group; among equals to the one that lacks most of the patient's other groups, then
    to the emptiest, then at random. Then pairs of patients are swapped between parts as long as that
    lowers the sum over groups of (patients - wanted patients)^2 / size of the group.

    Args:
        cohort: The patients; their order does not matter.
        parts: Number of parts.
        seed: Seed of what is left to chance.
        left_out: Parts that a training set lacks: one for the test and one for validation.

    Returns:
        Part (0 to parts - 1) per patient_id, in the order of the identifiers.

    Raises:
        CohortError: Fewer patients than parts; or, without the parts left out, a target would keep one
            class only, no event or a single value.

    Example:
        >>> task = Task("grade", "binary", ("grade",), ("low", "high"))
        >>> people = tuple(Patient(f"P{i}", (f"s{i}",), targets={"grade": i % 2}) for i in range(8))
        >>> split = split_parts(Cohort((task,), people), 4, seed=0)
        >>> [sorted(p.targets["grade"] for p in people if split[p.patient_id] == k) for k in range(4)]
        [[0, 1], [0, 1], [0, 1], [0, 1]]
    """
    patients = sorted(cohort.patients, key=lambda patient: patient.patient_id)
    if len(patients) < parts:
        raise CohortError(
            f"Split the patients into {parts} folds.",
            f"Fewer patients than folds: {len(patients)}.",
            "Use fewer folds or more patients.",
        )
    groups = patient_groups(cohort, patients)
    placed = _swap(groups, _balance(groups, parts, np.random.default_rng(seed)), parts)
    split = {patient.patient_id: int(part) for patient, part in zip(patients, placed, strict=True)}
    check_training(cohort, patients, split, parts, left_out)
    return split


def given_parts(cohort: Cohort, parts: int) -> dict[str, int]:
    """The parts of a rotation that the label table gives.

    Args:
        cohort: The patients, with ``folds``.
        parts: Number of parts.

    Raises:
        CohortError: The table gives another number of parts or leaves a patient out; or a training set
            could not be learned from, see :func:`split_parts`.
    """
    patients = sorted(cohort.patients, key=lambda patient: patient.patient_id)
    split = _given_split(cohort, patients, parts)
    check_training(cohort, patients, split, parts)
    return split


def _given_split(cohort: Cohort, patients: Sequence[Patient], parts: int) -> dict[str, int]:
    without = [patient.patient_id for patient in patients if patient.patient_id not in cohort.folds]
    split = {patient.patient_id: cohort.folds[patient.patient_id] for patient in patients if not without}
    used = sorted(set(split.values()))
    if without or used != list(range(parts)):
        found = f"The patients are in the parts {', '.join(str(part) for part in used)}."
        if without:
            found = f"These patients have no part: {', '.join(without[:20])}."
        raise CohortError(
            f"Use the label table's own split for {parts} folds.",
            found,
            f"Ask for {len(used)} folds, or ignore the table's split."
            if not without and used == list(range(len(used)))
            else "Complete the fold column, or ignore it.",
        )
    return split


def patient_groups(cohort: Cohort, patients: Sequence[Patient]) -> npt.NDArray[np.bool_]:
    """Which patient is in which group to be balanced: ``(P, G)``."""
    columns: list[npt.NDArray[np.bool_]] = []
    for task in cohort.tasks:
        codes = _target_codes(task, cohort.targets(task, patients))
        columns += [codes == code for code in np.unique(codes)]
    sites = np.array([patient.site for patient in patients])
    columns += [sites == site for site in np.unique(sites)]
    return np.stack(columns, axis=1)


def _target_codes(task: Task, values: FloatArray) -> npt.NDArray[np.int64]:
    """Group number per patient for one target, -1 where it is missing."""
    first = values[:, 0] if values.ndim == 2 else values
    known = ~np.isnan(first)
    codes = np.full(len(first), -1, dtype=np.int64)
    if not known.any() or task.is_classification:
        codes[known] = first[known]
    elif task.kind == "survival":
        late = first[known] > np.median(first[known])
        codes[known] = 2 * late + (values[known, 1] == 1)
    else:
        quarters = np.quantile(first[known], (0.25, 0.5, 0.75))
        codes[known] = np.searchsorted(quarters, first[known], side="left")
    return codes


def _balance(groups: npt.NDArray[np.bool_], parts: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Part per patient, by iterative stratification of the ``(P, G)`` groups."""
    count = len(groups)
    room = np.full(parts, count // parts)
    room[: count % parts] += 1
    # lack[k, g]: how many patients of group g part k still wants.
    lack = room[:, None] / count * groups.sum(axis=0)
    placed = np.full(count, -1, dtype=np.int64)
    order = rng.permutation(count)
    chance = rng.random((count, parts))
    while (placed < 0).any():
        waiting = order[placed[order] < 0]
        left = groups[waiting].sum(axis=0)
        rarest = int(np.argmin(np.where(left > 0, left, count + 1)))
        for patient in waiting[groups[waiting, rarest]]:
            mine = groups[patient]
            # Rounded, so that equal lacks tie although they were subtracted in another order.
            keys = (
                chance[patient],
                room,
                lack[:, mine].sum(axis=1).round(9),
                lack[:, rarest].round(9),
                room > 0,
            )
            part = int(np.lexsort(keys)[-1])
            placed[patient] = part
            lack[part, mine] -= 1
            room[part] -= 1
    return placed


def _swap(groups: npt.NDArray[np.bool_], placed: npt.NDArray[np.int64], parts: int) -> npt.NDArray[np.int64]:
    """Swap patients between parts while that makes the parts more alike; sizes stay."""
    member = groups.astype(np.float64)
    weighted = member / member.sum(axis=0)
    norm = (weighted * member).sum(axis=1)
    placed = placed.copy()
    share = np.bincount(placed, minlength=parts) / len(placed)
    counts = np.stack([member[placed == part].sum(axis=0) for part in range(parts)])
    excess = counts - share[:, None] * member.sum(axis=0)
    for _ in range(SWAP_PASSES):
        before = placed.copy()
        for one in range(len(placed)):
            # Change of the sum if `one` is swapped with each other patient: with d the difference of their
            # groups, part a turns from e_a to e_a - d and part b from e_b to e_b + d.
            gap = excess - excess[placed[one]]
            gain = (gap @ weighted[one])[placed] - (weighted * gap[placed]).sum(axis=1)
            # Rounded, so that the order in which a sum was added up decides nothing.
            change = np.round(2 * gain + 2 * (norm[one] + norm - 2 * weighted @ member[one]), 9)
            change[placed == placed[one]] = 0
            other = int(np.argmin(change))
            if change[other] < 0:
                difference = member[one] - member[other]
                excess[placed[one]] -= difference
                excess[placed[other]] += difference
                placed[one], placed[other] = placed[other], placed[one]
        if np.array_equal(before, placed):
            break
    return placed


def check_training(
    cohort: Cohort, patients: Sequence[Patient], split: Mapping[str, int], parts: int, left_out: int = 2
) -> None:
    """Refuse a split in which some training set could not be learned from."""
    part = np.array([split[patient.patient_id] for patient in patients])
    for task in cohort.tasks:
        values = cohort.targets(task, patients)
        for out in combinations(range(parts), min(left_out, parts - 1)):
            if not teaches(task, values[~np.isin(part, out)]):
                raise _untrainable(task, values, out, parts)


def teaches(task: Task, targets: FloatArray) -> bool:
    """Whether there is something to learn: an event, two classes, or two values.

    Args:
        task: The target.
        targets: ``(P,)`` or ``(P, 2)``, NaN where missing.
    """
    known = targets[~np.isnan(targets.reshape(len(targets), -1)).any(axis=1)]
    if task.kind == "survival":
        return bool((known[:, 1] == 1).any())
    return len(np.unique(known)) > 1


def _untrainable(task: Task, values: FloatArray, out: tuple[int, ...], parts: int) -> CohortError:
    if task.kind == "survival":
        found = f"no event is left; there are {int(np.nansum(values[:, 1]))} events in all"
    elif task.is_classification:
        counts = ", ".join(f"{name!r} {int((values == i).sum())}" for i, name in enumerate(task.classes))
        found = f"one class only is left; the patients per class are {counts}"
    else:
        found = f"fewer than two different values are left of {int((~np.isnan(values)).sum())}"
    return CohortError(
        f"Train the target {task.name!r} in {parts} folds.",
        f"Without the parts {', '.join(str(part) for part in out)}, {found}.",
        "Use more patients of the rare outcome, join classes, or drop the target.",
    )
