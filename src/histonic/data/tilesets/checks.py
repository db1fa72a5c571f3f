"""Leaks in tile sets, refused by name: a group in two splits, an image in two splits or two classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from histonic.core.errors import TileSetError
from histonic.core.task import Task
from histonic.data.tilesets.listing import Texts

TWO_LABELS, TWO_SPLITS = "with two labels", "in two splits"
TURNED = "in two splits as turned or mirrored copies"
FloatArray = npt.NDArray[np.float64]


class Hashed(Protocol):
    """What is compared across sets."""

    @property
    def hashes(self) -> Texts:
        """``(N,)`` of the pixels."""

    @property
    def split(self) -> Texts:
        """``(N,)`` train, val or test."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Where each tile came from."""


def refuse_split_groups(name: str, split: Texts, group: Texts) -> None:
    """Refuse a group that lies in two splits.

    Args:
        name: Of the set.
        split: ``(N,)`` as given, empty where not.
        group: ``(N,)``, empty where unknown.

    Raises:
        TileSetError: Names the first such group.
    """
    splits: dict[str, set[str]] = {}
    for which, own in zip(split, group, strict=True):
        if own and which:
            splits.setdefault(str(own), set()).add(str(which))
    torn = [own for own, lies in splits.items() if len(lies) > 1]
    if torn:
        one, two = [each for each in ("train", "val", "test") if each in splits[torn[0]]][:2]
        others = f" ({len(torn) - 1} more groups lie in two)" if len(torn) > 1 else ""
        raise TileSetError(
            f"Use the tile set {name!r}.",
            f"The group {torn[0]!r} lies in the splits {one} and {two}{others}.",
            "Keep a patient, slide or field in one split, or leave out 'split' to have such splits drawn.",
        )


def refuse_copies(
    name: str,
    paths: Sequence[str],
    hashes: Texts,
    turned: Texts,
    split: Texts,
    tasks: Sequence[Task],
    targets: Mapping[str, FloatArray],
    *,
    drop: bool,
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Refuse, or drop, identical images in two splits or with two labels; note, or drop, turned copies.

    Args:
        name: Of the set.
        paths: Of the tiles, for messages.
        hashes: ``(N,)`` of their pixels.
        turned: ``(N,)`` hashes that turned and mirrored copies share.
        split: ``(N,)`` train, val or test.
        tasks: Of the set.
        targets: Of the tasks; a missing label contradicts none.
        drop: Of an image in two splits, turned or not, keep the test copies, else the validation copies; of
            one with two labels keep none.

    Returns:
        Rows to keep, in rising order, and notes.

    Raises:
        TileSetError: Names two files, and counts how many images there are like that.
    """
    labels = np.stack([targets[task.name] for task in tasks]) if tasks else np.empty((0, len(paths)))
    keep = np.ones(len(paths), dtype=bool)
    found: dict[str, list[tuple[int, int]]] = {TWO_LABELS: [], TWO_SPLITS: [], TURNED: []}
    again = 0
    for rows in _copies(hashes):
        if (other := _contradicting(labels[:, rows])) is not None:
            found[TWO_LABELS].append((int(rows[other[0]]), int(rows[other[1]])))
            keep[rows] = False
        elif len(set(split[rows])) > 1:
            found[TWO_SPLITS].append(_keep_held_out(keep, rows, split))
        else:
            again += len(rows) - 1
    for rows in _copies(turned):
        if len(set(hashes[rows])) > 1 and len(set(split[rows])) > 1:
            found[TURNED].append(_keep_held_out(keep, rows, split))
    notes = [f"{again} tiles are identical to another one of their split and label"] if again else []
    if drop:
        return np.flatnonzero(keep), notes + _dropped(keep, found)
    _refuse(name, paths, split, found)
    return np.arange(len(paths)), notes + _turned(paths, split, found[TURNED])


def _keep_held_out(keep: npt.NDArray[np.bool_], rows: npt.NDArray[np.int64], split: Texts) -> tuple[int, int]:
    """Mark all but the held-out copies as to be dropped; returns one of each."""
    held_out = split[rows] == ("test" if (split[rows] == "test").any() else "val")
    keep[rows] &= held_out
    return int(rows[~held_out][0]), int(rows[held_out][0])


def _dropped(keep: npt.NDArray[np.bool_], found: Mapping[str, list[tuple[int, int]]]) -> list[str]:
    if keep.all():
        return []
    counts = ", ".join(f"{len(pairs)} {how}" for how, pairs in found.items() if pairs)
    return [f"{int((~keep).sum())} tiles dropped as copies; images that were there: {counts}"]


def _turned(paths: Sequence[str], split: Texts, pairs: list[tuple[int, int]]) -> list[str]:
    if not pairs:
        return []
    one, other = pairs[0]
    return [
        f"{len(pairs)} images are there {TURNED}, such as {Path(paths[one]).name} ({split[one]}) and "
        f"{Path(paths[other]).name} ({split[other]}); 'duplicates: drop' keeps the held-out one"
    ]


def _refuse(
    name: str, paths: Sequence[str], split: Texts, found: Mapping[str, list[tuple[int, int]]]
) -> None:
    found = {how: pairs for how, pairs in found.items() if pairs and how != TURNED}
    if not found:
        return
    counts = [f"{len(pairs)} {how}" for how, pairs in found.items()]
    one, other = next(pairs[0] for pairs in found.values())
    raise TileSetError(
        f"Use the tile set {name!r}.",
        f"Identical images are there: {', '.join(counts)}. The first: {paths[one]} ({split[one]}) "
        f"is {paths[other]} ({split[other]}).",
        "Remove the copies, or set 'duplicates: drop'.",
    )


def _copies(hashes: Texts) -> Iterator[npt.NDArray[np.int64]]:
    """Rows of each image that is there more than once, in the order of its first row."""
    values = np.asarray(hashes, dtype=str)
    order = np.argsort(values, kind="stable")
    ends = np.flatnonzero(values[order][1:] != values[order][:-1]) + 1
    clusters = [rows for rows in np.split(order, ends) if len(rows) > 1]
    yield from sorted(clusters, key=lambda rows: int(rows[0]))


def _contradicting(labels: FloatArray) -> tuple[int, int] | None:
    """Two columns that have different labels of the same task, None where all agree."""
    for values in labels:
        known = np.flatnonzero(~np.isnan(values))
        if len(known) and (odd := known[values[known] != values[known[0]]]).size:
            return int(known[0]), int(odd[0])
    return None


def require_tiles(
    name: str,
    tasks: Sequence[Task],
    targets: Mapping[str, FloatArray],
    count: int,
    failures: Sequence[Mapping[str, str]],
) -> None:
    """Refuse a set of which nothing could be read: no tile, none with a label, or none of a class.

    Raises:
        TileSetError: Names the class, and the first file that could not be read.
    """
    asked = f"Read the tile set {name!r}."
    first = f" First: {failures[0]['path']}: {failures[0]['reason']}" if failures else ""
    if not count:
        raise TileSetError(
            asked, f"None of its {len(failures)} tiles could be read.{first}", "Check the files."
        )
    for task in tasks:
        for number, each in enumerate(task.classes):
            if not (targets[task.name] == number).any():
                raise TileSetError(
                    asked, f"No tile of the class {each!r} could be read.{first}", "Check the files."
                )
        if np.isnan(targets[task.name]).all():
            raise TileSetError(
                asked, f"No tile with a {task.columns[0]} could be read.{first}", "Check the files."
            )


def check_classes(
    name: str, tasks: Sequence[Task], targets: Mapping[str, FloatArray], split: Texts
) -> list[str]:
    """Refuse a class that cannot be learned; note a class that cannot be validated, and missing labels.

    Returns:
        Notes.

    Raises:
        TileSetError: The training split has no tile of a class, or no label of a task.
    """
    notes = []
    for task in tasks:
        values = targets[task.name]
        if missing := int(np.isnan(values).sum()):
            notes.append(f"{missing} tiles have no label of {task.name}")
        for part in ("train", "val", "test"):
            own = values[split == part]
            if part == "train" and np.isnan(own).all():
                raise TileSetError(
                    f"Use the tile set {name!r}.",
                    f"The training split has no tile with a {task.columns[0]}.",
                    "Give such tiles the split train.",
                )
            lacking = [each for number, each in enumerate(task.classes) if not (own == number).any()]
            if part == "train" and lacking:
                raise TileSetError(
                    f"Use the tile set {name!r}.",
                    f"The training split has no tile of the class {lacking[0]!r}.",
                    "Give some of its tiles, of groups of their own, the split train.",
                )
            if lacking and len(own):
                notes.append(f"the {part} split has no tile of {', '.join(lacking)} ({task.name})")
    return notes


def refuse_shared(name: str, other_name: str, one: Hashed, other: Hashed) -> None:
    """Refuse an image of one set's training split in a held-out split of the other.

    Args:
        name: Of the set whose training split is looked at.
        other_name: Of the set whose validation and test splits are looked at.
        one: The former.
        other: The latter.

    Raises:
        TileSetError: Names two files, and counts how many images there are like that.
    """
    train: dict[Any, int] = {}
    for row in np.flatnonzero(one.split == "train"):
        train.setdefault(one.hashes[row], int(row))
    held_out = np.flatnonzero(other.split != "train")
    shared = [int(row) for row in held_out if other.hashes[row] in train]
    if shared:
        first = shared[0]
        raise TileSetError(
            f"Use the tile sets {name!r} and {other_name!r} together.",
            f"{len(shared)} image(s) to learn from are held out in the other. The first: "
            f"{one.paths[train[other.hashes[first]]]} (train of {name}) is {other.paths[first]} "
            f"({other.split[first]} of {other_name}).",
            "Remove such images from one of the two sets, or give them the same split in both.",
        )
