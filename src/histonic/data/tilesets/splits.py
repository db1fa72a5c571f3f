"""Splits of a tile set where its source gives none, or no validation split: groups stay whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from histonic.core.errors import TileSetError
from histonic.core.task import Task
from histonic.data.tilesets.listing import Texts

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}
VAL_SHARE = 0.15
"""Share of the training tiles that become the validation split where none is given."""
FloatArray = npt.NDArray[np.float64]


def share_out(
    name: str,
    split: Texts,
    group: Texts,
    hashes: Texts,
    tasks: Sequence[Task],
    targets: Mapping[str, FloatArray],
    seed: int,
) -> tuple[Texts, list[str]]:
    """Splits as given, or drawn by group where none, or no validation split, is given.

    Tiles of unknown group are drawn one by one, identical ones together.

    Args:
        name: Of the set.
        split: ``(N,)`` as given, empty where not.
        group: ``(N,)``, empty where unknown.
        hashes: ``(N,)`` of the pixels.
        tasks: The classes of the first are shared out as evenly as whole groups allow.
        targets: Of the tasks.
        seed: Of the draw.

    Returns:
        ``(N,)`` train, val or test, and notes.

    Raises:
        TileSetError: Some tiles have a split and others none, there are no training tiles, or too few groups
            for a validation split.
    """
    found = np.array([str(each) for each in split], dtype=object)
    labels = _labels(tasks, targets, len(found))
    shares = dict(SHARES)
    if (found == "").all():
        open_to = np.ones(len(found), dtype=bool)
    else:
        _require_train(name, found)
        if (found == "val").any():
            return found, []
        open_to, shares = found == "train", {"train": 1 - VAL_SHARE, "val": VAL_SHARE}
    keys = _keys(group[open_to], hashes[open_to])
    found[open_to] = _drawn(keys, labels[open_to], shares, seed)
    if not (found == "val").any():
        raise TileSetError(
            f"Split the tile set {name!r}.",
            f"No group can be spared for validation: the {len(keys)} training tiles are of "
            f"{len(set(keys))} group(s) (a tile of unknown group counts as one), "
            f"{_only(keys, labels[open_to])} of them the only one of a class.",
            "Give more groups of each class, or mark some as val; 'group: \"\"' splits tile by tile, which "
            "flatters.",
        )
    if len(shares) == 2:
        return found, [_val_note(found, group)]
    notes = [f"no splits are given: drawn {_unit(group)}, 70 / 15 / 15 %, seeded"]
    if not (found == "test").any():
        notes.append("no tile is in the test split: there are too few groups")
    return found, notes


def _only(keys: Texts, labels: FloatArray) -> int:
    """How many groups alone have a class."""
    carriers = [set(keys[labels == each]) for each in np.unique(labels[labels >= 0])]
    return len(set().union(*(each for each in carriers if len(each) == 1)))


def _require_train(name: str, split: Texts) -> None:
    asked = f"Split the tile set {name!r}."
    if (split == "").any():
        raise TileSetError(
            asked,
            f"{int((split == '').sum())} of {len(split)} tiles have no split, the others have one.",
            "Fill in the split of every tile, or of none.",
        )
    if not (split == "train").any():
        raise TileSetError(asked, "No tile is in the training split.", "Write train, val or test.")


def _unit(group: Texts) -> str:
    if (group == "").all():
        return "tile by tile (no groups are known)"
    return "by group" if (group != "").all() else "by group (tiles of unknown group one by one)"


def _val_note(split: Texts, group: Texts) -> str:
    val, train = split == "val", split == "train"
    count = int(val.sum())
    share = f"{count} of {count + int(train.sum())} training tiles became one"
    known = len(set(group[val | train])) - int((group[val | train] == "").any())
    if not known:
        return f"no validation split is given: {share}, tile by tile (no groups are known), seeded"
    taken = len(set(group[val]) - {""})
    return f"no validation split is given: {share} ({taken} of {known} groups, whole), seeded"


def _keys(group: Texts, hashes: Texts) -> Texts:
    """What is drawn as one: a group; or a tile of unknown group, with those identical to it."""
    first: dict[str, int] = {}
    for row, each in enumerate(hashes):
        first.setdefault(str(each), row)
    same = [first[str(each)] for each in hashes]
    return np.array(
        [f"g{name}" if name else f"t{row}" for row, name in zip(same, group, strict=True)], object
    )


def _labels(tasks: Sequence[Task], targets: Mapping[str, FloatArray], count: int) -> FloatArray:
    if not tasks or not tasks[0].is_classification:
        return np.zeros(count)
    return np.nan_to_num(targets[tasks[0].name], nan=-1)


def _drawn(keys: Texts, labels: FloatArray, shares: Mapping[str, float], seed: int) -> Texts:
    """Deal out whole groups, largest first, each to the part that is shortest of its classes.

    The last group of a class of which none is for training yet is for it: else it could not be learned.
    """
    rng = np.random.default_rng([seed, 29])
    names, number = np.unique(keys.astype(str), return_inverse=True)
    classes, label = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (number, label), 1)
    left = (counts > 0).sum(axis=0)
    parts = list(shares)
    train = parts.index("train")
    wanted = np.array([shares[part] for part in parts])[:, None] * counts.sum(axis=0)
    have = np.zeros_like(wanted)
    chosen = np.zeros(len(names), dtype=np.int64)
    order = rng.permutation(len(names))
    for index in order[np.argsort(-counts[order].sum(axis=1), kind="stable")]:
        own = counts[index] > 0
        last = own & (left == 1) & (have[train] == 0) & (classes >= 0)
        short = ((wanted - have)[:, own] / np.maximum(wanted[:, own], 1e-9)).mean(axis=1)
        chosen[index] = train if last.any() else int(np.argmax(short))
        have[chosen[index]] += counts[index]
        left = left - own
    return np.array([parts[each] for each in chosen[number]], dtype=object)
