"""Splits that keep sites whole, so that no patient is tested by a network that saw the same site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from histonic.core.cohort import Cohort, Patient
from histonic.core.errors import CohortError
from histonic.stages.train.splitting.splits import check_training, patient_groups

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

STARTS = 64
"""Orders in which the sites are placed anew; the most even split of all is kept."""
SITE_JOINT = "+"
"""Stands between the sites of a patient who has slides from several."""
MOST_IN_A_PART = 0.5
"""Share of the patients that a part may hold; a larger one is tested by networks of fewer patients."""
MOST_TIMES_SMALLEST = 10
"""So many times the smallest part may the largest be: each part also decides once when training stops."""
SITES_TOLD = 8
"""Sites of a part that a message names."""


def split_by_site(cohort: Cohort, parts: int, seed: int, *, left_out: int = 2) -> dict[str, int]:
    """Divide the patients into parts so that every site lies in one part (Howard et al. 2021).

    Among such splits one is sought whose parts are alike in size and targets: the sum over groups (all
    patients; each class, quarter, event and half, as
    :func:`~histonic.stages.train.splitting.splits.split_parts` has them) of
    (patients - wanted patients)^2 / size of the group. Sites are placed one after the other where the sum
    grows least, the largest first or in random orders, then moved and swapped while it falls.

    Sites that share a patient (``A+B``) stay together.

    Args:
        cohort: The patients, each with a site.
        parts: Number of parts.
        seed: Seed of the random orders.
        left_out: Parts that a training set lacks: one for the test and one for validation.

    Returns:
        Part (0 to parts - 1) per patient_id, in the order of the identifiers.

    Raises:
        CohortError: A patient has no site; there are fewer sites than parts; or a training set could not be
            learned from.

    Example:
        >>> from histonic.core.task import Task
        >>> task = Task("grade", "binary", ("grade",), ("low", "high"))
        >>> people = tuple(
        ...     Patient(f"P{i:02}", (f"s{i}",), "ABCDEF"[i % 6], {"grade": i // 6 % 2}) for i in range(24)
        ... )
        >>> split = split_by_site(Cohort((task,), people), 3, seed=0)
        >>> sorted(sum(part == k for part in split.values()) for k in range(3))
        [8, 8, 8]
        >>> len({(p.site, split[p.patient_id]) for p in people})
        6
    """
    patients = sorted(cohort.patients, key=lambda patient: patient.patient_id)
    blocks = _blocks(patients)
    count = int(blocks.max()) + 1
    if count < parts:
        raise CohortError(
            f"Split the patients by site into {parts} folds.",
            f"There are {count} sites: {', '.join(sorted({patient.site for patient in patients})[:20])}.",
            f"Use {count} folds, or split without regard to sites." if count >= 3 else "Split at random.",
        )
    # Sites themselves are no group here: they cannot be spread.
    nameless = [Patient(each.patient_id, each.slide_ids, "", each.targets) for each in patients]
    # The last column is then that of all patients; it comes first here.
    groups = np.roll(patient_groups(cohort, nameless).astype(np.float64), 1, axis=1)
    members = np.zeros((count, groups.shape[1]))
    np.add.at(members, blocks, groups)
    placed = _most_even(members, parts, np.random.default_rng(seed))
    split = {each.patient_id: int(placed[block]) for each, block in zip(patients, blocks, strict=True)}
    check_training(cohort, patients, split, parts, left_out)
    return split


def require_comparable(cohort: Cohort, split: Mapping[str, int], parts: int, seed: int) -> None:
    """Refuse parts that no grouping of the sites makes comparable.

    Args:
        cohort: The patients, each with a site.
        split: From :func:`split_by_site`.
        parts: Number of parts.
        seed: As for :func:`split_by_site`, to look for a number of parts that would do.

    Raises:
        CohortError: A part holds more than half of the patients, or the largest more than ten times as many
            as the smallest; tells the sites of each part.
    """
    sizes = _sizes(split, parts)
    if _comparable(sizes):
        return
    largest = int(np.argmax(sizes))
    found = f"The most even parts that keep every site whole are: {_described(cohort, split, parts)}."
    if sizes[largest] > MOST_IN_A_PART * sizes.sum():
        todo = (
            "Train on the largest site and test on the others with 'histonic external', or the other way "
            "round; or use --split random, which does not show how the model does at a new site."
        )
        more = f" Part {largest + 1} would be tested by networks of fewer patients than it has."
        raise CohortError(f"Split the patients by site into {parts} folds.", found + more, todo)
    fewer = next((count for count in range(parts - 1, 2, -1) if _comparable_in(cohort, count, seed)), 0)
    todo = f"Use --folds {fewer}, which gives comparable parts." if fewer else "Use --split random."
    raise CohortError(f"Split the patients by site into {parts} folds.", found, todo)


def _comparable_in(cohort: Cohort, parts: int, seed: int) -> bool:
    try:
        return _comparable(_sizes(split_by_site(cohort, parts, seed), parts))
    except CohortError:
        return False


def _sizes(split: Mapping[str, int], parts: int) -> IntArray:
    return np.bincount(list(split.values()), minlength=parts)


def _comparable(sizes: IntArray) -> bool:
    return bool(
        sizes.max() <= MOST_IN_A_PART * sizes.sum() and sizes.max() <= MOST_TIMES_SMALLEST * sizes.min()
    )


def _described(cohort: Cohort, split: Mapping[str, int], parts: int) -> str:
    """The parts with their patients by site, the largest site first."""
    counted: list[Counter[str]] = [Counter() for _ in range(parts)]
    for patient in cohort.patients:
        counted[split[patient.patient_id]][patient.site] += 1
    told = []
    for number, sites in enumerate(counted, start=1):
        ordered = sorted(sites.items(), key=lambda each: (-each[1], each[0]))
        named = ", ".join(f"{site} {count}" for site, count in ordered[:SITES_TOLD])
        more = f" and {len(sites) - SITES_TOLD} more" if len(sites) > SITES_TOLD else ""
        total = sum(sites.values())
        told.append(f"part {number} with {total} patient{'s'[: total != 1]} ({named}{more})")
    return "; ".join(told)


def _blocks(patients: Sequence[Patient]) -> IntArray:
    """Number of the block of sites each patient belongs to."""
    without = [patient.patient_id for patient in patients if not patient.site]
    if without:
        raise CohortError(
            "Split the patients by site.",
            f"These patients have no site: {', '.join(without[:20])}.",
            "Name the column with --columns site=COLUMN, and fill it in for every patient.",
        )
    joined: dict[str, str] = {}
    for patient in patients:
        first, *others = patient.site.split(SITE_JOINT)
        for other in others:
            joined[_root(joined, other)] = _root(joined, first)
    roots = [_root(joined, patient.site.split(SITE_JOINT)[0]) for patient in patients]
    number = {root: index for index, root in enumerate(sorted(set(roots)))}
    return np.array([number[root] for root in roots])


def _root(joined: Mapping[str, str], site: str) -> str:
    while joined.get(site, site) != site:
        site = joined[site]
    return site


def _most_even(members: FloatArray, parts: int, rng: np.random.Generator) -> IntArray:
    """Part per block of ``(B, G)`` members of groups; every part gets at least one."""
    best, least = np.zeros(len(members), np.int64), np.inf
    for start in range(STARTS):
        order = np.argsort(-members[:, 0], kind="stable") if start == 0 else rng.permutation(len(members))
        placed = _improve(members, _place(members, order, parts), parts)
        cost = _cost(members, placed, parts)
        if cost < least - 1e-9:
            best, least = placed, cost
    return best


def _place(members: FloatArray, order: IntArray, parts: int) -> IntArray:
    """Blocks placed one after the other where the sum grows least, each part once before any twice."""
    placed = np.full(len(members), -1, np.int64)
    held = np.zeros((parts, members.shape[1]))
    wanted = members.sum(axis=0) / parts
    for rank, block in enumerate(order):
        growth = (((held + members[block] - wanted) ** 2 - (held - wanted) ** 2) / (wanted * parts)).sum(
            axis=1
        )
        if len(order) - rank <= (held[:, 0] == 0).sum():
            growth = np.where(held[:, 0] == 0, growth, np.inf)
        part = int(np.argmin(growth))
        placed[block] = part
        held[part] += members[block]
    return placed


def _improve(members: FloatArray, placed: IntArray, parts: int) -> IntArray:
    """Move a block, or swap two, as long as that lowers the sum."""
    placed = placed.copy()
    weight = 1 / members.sum(axis=0)
    held = np.stack([members[placed == part].sum(axis=0) for part in range(parts)])
    improved = True
    while improved:
        improved = False
        for one in range(len(placed)):
            here = placed[one]
            # If d leaves part p for part q, the sum changes by 2 d (held_q - held_p) + 2 d^2, weighted.
            gap = held - held[here]
            move = _change(members[one], gap, weight)
            move[here] = 0
            if (placed == here).sum() == 1:
                move[:] = 0
            swap = _change(members[one] - members, gap[placed], weight)
            swap[placed == here] = 0
            if min(move.min(), swap.min()) >= 0:
                continue
            other = int(np.argmin(swap)) if swap.min() < move.min() else None
            there = int(np.argmin(move)) if other is None else int(placed[other])
            leaving = members[one] - (members[other] if other is not None else 0)
            held[here] -= leaving
            held[there] += leaving
            placed[one] = there
            if other is not None:
                placed[other] = here
            improved = True
    return placed


def _change(leaving: FloatArray, gap: FloatArray, weight: FloatArray) -> FloatArray:
    """Change of the sum; rounded, so that the order of an addition decides nothing."""
    change: FloatArray = 2 * ((leaving * gap + leaving**2) * weight).sum(axis=1)
    return change.round(9)


def _cost(members: FloatArray, placed: IntArray, parts: int) -> float:
    size = members.sum(axis=0)
    held = np.stack([members[placed == part].sum(axis=0) for part in range(parts)])
    return float((((held - size / parts) ** 2) / size).sum())
