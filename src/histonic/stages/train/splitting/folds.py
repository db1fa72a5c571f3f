"""Who trains, validates and is tested: rotations by patient or by site, repeated, or a fixed split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from histonic.core.cohort import Cohort, Fold, Patient
from histonic.core.errors import CohortError
from histonic.runs.documents import Made
from histonic.stages.train.splitting.site_splits import require_comparable, split_by_site
from histonic.stages.train.splitting.splits import given_parts, split_parts, teaches

SplitKind = Literal["auto", "random", "site", "table"]
VALIDATION_PARTS = 5
"""Of the training patients of a fixed split without validation patients, one part of so many validates."""


def make_folds(
    cohort: Cohort, split: SplitKind, *, folds: int, repeats: int, seed: int
) -> tuple[Made, tuple[Fold, ...]]:
    """All folds of all repeats.

    Args:
        cohort: The patients.
        split: ``random`` balances targets and sites over the parts; ``site`` keeps sites whole; ``table``
            takes the label table's own split; ``auto`` is that if there is one, else ``random``.
        folds: Parts of a rotation.
        repeats: Rotations, each with a split of its own; of a fixed split, with other validation patients.
        seed: Of the splits.

    Returns:
        How the split was made, and the folds, repeat by repeat.

    Raises:
        CohortError: The table gives no split, or one that cannot be used or repeated; see
            :func:`histonic.stages.train.splitting.splits.split_parts`.
    """
    made = _how(cohort, split)
    if made in ("given parts", "given folds") and repeats > 1:
        raise CohortError(
            f"Repeat the cross-validation {repeats} times.",
            "The label table gives one split.",
            "Leave out --repeats, or let histonic split: --split random.",
        )
    found: list[Fold] = []
    for repeat in range(repeats):
        # The first repeat's split is that of a run without repeats.
        own = seed if repeat == 0 else int(np.random.SeedSequence((seed, repeat)).generate_state(1)[0])
        if made == "fixed":
            turns = [_fixed(cohort, cohort.roles, 0, own)]
        elif made == "given folds":
            _require_tested_once(cohort)
            turns = [_fixed(cohort, roles, number, own) for number, roles in enumerate(cohort.turns)]
        else:
            parts = _parts(cohort, made, folds, own)
            if made == "site":
                require_comparable(cohort, parts, folds, own)
            turns = rotate(cohort, parts, folds)
        found += [replace(fold, repeat=repeat) for fold in turns]
    if made == "site":
        _require_different(found, repeats)
    return made, tuple(found)


def _require_different(folds: list[Fold], repeats: int) -> None:
    """Few sites can be divided evenly in few ways; the same division again is no repeat."""
    divisions = [
        frozenset(frozenset(each.patient_id for each in fold.test) for fold in folds if fold.repeat == repeat)
        for repeat in range(repeats)
    ]
    if len(set(divisions)) < repeats:
        raise CohortError(
            f"Repeat the cross-validation by site {repeats} times.",
            f"The sites gave {len(set(divisions))} different division(s) that are as even as can be.",
            "Use --repeats 1; --initialisations averages over networks instead.",
        )


def inner_folds(cohort: Cohort, fold: Fold, count: int, made: Made, seed: int) -> tuple[Fold, ...]:
    """The folds by which settings are chosen for an outer fold; its test patients are in none of them.

    Args:
        cohort: The patients.
        fold: The outer fold.
        count: 1: its own training and validation patients; more: a rotation of both in so many parts.
        made: How the outer split was made; sites stay whole if they did there.
        seed: Of the rotation.
    """
    if count == 1:
        return (fold,)
    # Who has no part in a fold of the table's own has none inside it either.
    has_part = {patient.patient_id for patient in (*fold.train, *fold.validation)}
    mine = [patient for patient in cohort.patients if patient.patient_id in has_part]
    inside = replace(cohort, patients=tuple(mine), folds={}, roles={}, turns=())
    split = _parts(inside, "site" if made == "site" else "random", count, seed, left_out=1)
    inner = []
    for number in range(count):
        train = tuple(each for each in mine if split[each.patient_id] != number)
        validation = tuple(each for each in mine if split[each.patient_id] == number)
        inner.append(Fold(number, train, validation, (), fold.repeat))
        _check_validation(cohort, inner[-1])
    return tuple(inner)


def rotate(cohort: Cohort, split: Mapping[str, int], parts: int) -> list[Fold]:
    """All turns: fold i tests part i, validates on part i + 1 (the last on part 0), trains on the rest.

    Args:
        cohort: The patients.
        split: Part per patient_id, from :func:`histonic.stages.train.splitting.splits.split_parts`.
        parts: Number of parts.

    Raises:
        CohortError: A part that has to validate knows none of the targets.
    """
    folds = []
    for number in range(parts):
        after = (number + 1) % parts
        role = {part: "test" if part == number else "validation" for part in (number, after)}
        roles = {name: role.get(part, "train") for name, part in split.items()}
        folds.append(_fold(cohort, number, roles))
    return folds


def _how(cohort: Cohort, split: SplitKind) -> Made:
    if split == "site":
        return "site"
    given = cohort.roles or cohort.folds or cohort.turns
    if split == "random" or (split == "auto" and not given):
        return "random"
    if cohort.roles:
        return "fixed"
    if cohort.folds:
        return "given parts"
    if cohort.turns:
        return "given folds"
    raise CohortError(
        "Take the split from the label table.",
        "It has no column 'fold' with parts and no column 'split' with train, val and test.",
        "Name it with --columns fold=COLUMN or --columns split=COLUMN, or use --split random.",
    )


def _parts(cohort: Cohort, made: Made, parts: int, seed: int, left_out: int = 2) -> dict[str, int]:
    if made == "site":
        return split_by_site(cohort, parts, seed, left_out=left_out)
    if made == "given parts":
        return given_parts(cohort, parts)
    return split_parts(cohort, parts, seed, left_out=left_out)


def _require_tested_once(cohort: Cohort) -> None:
    """Refuse Monte-Carlo folds: results of patients who are tested several times are not pooled."""
    tested: dict[str, list[int]] = {}
    for number, roles in enumerate(cohort.turns, start=1):
        for name in (name for name, role in roles.items() if role == "test"):
            tested.setdefault(name, []).append(number)
    several = {name: folds for name, folds in tested.items() if len(folds) > 1}
    if several:
        name, folds = next(iter(several.items()))
        raise CohortError(
            f"Use the {len(cohort.turns)} folds of the official split.",
            f"{len(several)} of {len(tested)} tested patients are tested in several of them ({name} in folds "
            f"{', '.join(map(str, folds))}), as in Monte-Carlo cross-validation; a run tests each patient "
            "once.",
            "Train a run for each fold, as its official train, val and test: --columns split=COLUMN with the "
            "column of the fold (or --splits with one file), and report the runs together; or let histonic "
            "split: --split random.",
        )


def _fixed(cohort: Cohort, given: Mapping[str, str], number: int, seed: int) -> Fold:
    """The table's train, val and test; without val, one part of the training patients validates."""
    words = {"train": "train", "val": "validation", "test": "test"}
    roles = {name: words[role] for name, role in given.items()}
    absent = {"train", "test"} - set(roles.values())
    if absent:
        raise CohortError(
            "Use the label table's split into train, val and test.",
            f"No patient with a map and a target is in {' or '.join(sorted(absent))}.",
            "Compress the slides of these patients, or let histonic split: --split random.",
        )
    if "validation" not in roles.values():
        mine = tuple(each for each in cohort.patients if roles.get(each.patient_id) == "train")
        inside = replace(cohort, patients=mine, folds={}, roles={}, turns=())
        parts = split_parts(inside, VALIDATION_PARTS, seed, left_out=1)
        roles.update({name: "validation" for name, part in parts.items() if part == 0})
    fold = _fold(cohort, number, roles)
    for task in cohort.tasks:
        for role, patients in (("training", fold.train), ("test", fold.test)):
            if not teaches(task, cohort.targets(task, patients)):
                raise CohortError(
                    "Use the label table's split into train, val and test.",
                    f"{task.name!r} has no event, or one value only, in {len(patients)} {role} patients.",
                    "Correct the split, or let histonic split: --split random.",
                )
    return fold


def _fold(cohort: Cohort, number: int, roles: Mapping[str, str]) -> Fold:
    def members(role: str) -> tuple[Patient, ...]:
        return tuple(each for each in cohort.patients if roles.get(each.patient_id) == role)

    fold = Fold(number, members("train"), members("validation"), members("test"))
    _check_validation(cohort, fold)
    return fold


def _check_validation(cohort: Cohort, fold: Fold) -> None:
    for task in cohort.tasks:
        targets = cohort.targets(task, fold.validation)
        known = targets[~np.isnan(targets.reshape(len(targets), -1)).any(axis=1)]
        if task.kind != "survival" and len(known):
            return
        if (
            task.kind == "survival"
            and ((known[:, 1] == 1) & (known[:, 0] < known[:, 0].max(initial=0))).any()
        ):
            return
    raise CohortError(
        f"Validate fold {fold.number + 1}.",
        f"Its {len(fold.validation)} validation patients have no known target, or no event before others.",
        "Use fewer folds, or more patients with known targets.",
    )
