"""From label columns of a tile set to tasks and targets."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from histonic.core.errors import TileSetError
from histonic.core.task import Task
from histonic.data.classes.positives import order_binary
from histonic.data.tables.issues import list_names
from histonic.data.tables.values import natural_key, to_number
from histonic.data.tilesets.listing import Listing

if TYPE_CHECKING:
    from histonic.data.tilesets.plan import TileSetSettings

MOST_NUMBERS = 30
"""Different numbers in a label column beyond which they are taken for a forgotten 'kind: regression'."""
Targets = dict[str, npt.NDArray[np.float64]]


def read_tile_targets(plan: TileSetSettings, listing: Listing) -> tuple[tuple[Task, ...], Targets]:
    """Tasks and targets, one a label column.

    Args:
        plan: Says kind and classes.
        listing: Holds the labels as text.

    Returns:
        Tasks, and task name -> ``(N,)`` class index or value, NaN where missing.

    Raises:
        TileSetError: A label is no number or not among the classes; a class has no tiles; there is one class
            only, or the kind does not fit.
    """
    tasks, targets = [], {}
    for column in plan.label:
        name = plan.name if len(plan.label) == 1 else f"{plan.name}.{column}"
        asked = f"Read the labels {column!r} of the tile set {plan.name!r}."
        if not any(listing.labels[column]):
            raise TileSetError(asked, "Every label is missing.", "Fill in the column.")
        if plan.kind == "regression":
            tasks.append(Task(name, "regression", (column,)))
            targets[name] = _values(asked, column, listing)
        else:
            task = _classes(asked, name, column, plan, listing)
            index = {each: float(number) for number, each in enumerate(task.classes)}
            tasks.append(task)
            targets[name] = np.array([index.get(str(each), np.nan) for each in listing.labels[column]])
    return tuple(tasks), targets


def _values(asked: str, column: str, listing: Listing) -> npt.NDArray[np.float64]:
    found = np.full(len(listing.names), np.nan)
    for row, text in enumerate(listing.labels[column]):
        if text:
            number = to_number(str(text))
            if number is None:
                raise TileSetError(
                    asked,
                    f"{listing.where(row)} is labelled {text!r}, which is no number.",
                    "Correct the label, or leave the cell empty.",
                )
            found[row] = number
    if len(set(found[~np.isnan(found)])) < 2:
        raise TileSetError(asked, "All values are the same.", "A task needs two different ones.")
    return found


def _classes(asked: str, name: str, column: str, plan: TileSetSettings, listing: Listing) -> Task:
    labels = listing.labels[column]
    counts = Counter(str(text) for text in labels if text)
    found = sorted(counts, key=natural_key)
    # Of two classes the positive one comes second, as in label tables.
    classes = plan.classes or (order_binary(found) if len(found) == 2 else tuple(found))
    if plan.kind is None and not plan.classes:
        _refuse_numbers(asked, found)
    if plan.kind == "ordinal" and not plan.classes:
        raise TileSetError(
            asked,
            f"The order of the classes {list_names(found)} is not known.",
            "List them under 'classes', lowest first.",
        )
    if twice := [each for each, times in Counter(classes).items() if times > 1]:
        raise TileSetError(asked, f"'classes' lists {twice[0]!r} twice.", "Remove one.")
    if odd := [each for each in found if each not in classes]:
        row = next(row for row, text in enumerate(labels) if text in odd)
        raise TileSetError(
            asked,
            f"{listing.where(row)} is labelled {labels[row]!r} (so are {counts[str(labels[row])]} tiles); "
            f"the classes are {list_names(classes)}.",
            "Correct the label, leave the cell empty, or add it to 'classes'.",
        )
    if len(classes) < 2:
        raise TileSetError(
            asked, f"There is one class only ({classes[0]}).", "A task needs two: add tiles of another."
        )
    if empty := [each for each in classes if each not in counts]:
        raise TileSetError(
            asked, f"The class {empty[0]!r} has no tiles.", "Add tiles, or remove it from 'classes'."
        )
    kind = plan.kind or ("binary" if len(classes) == 2 else "multiclass")
    if kind == "binary" and len(classes) != 2:
        raise TileSetError(asked, f"It is binary, with {len(classes)} classes.", "Use kind: multiclass.")
    return Task(name, kind, (column,), classes)


def _refuse_numbers(asked: str, found: list[str]) -> None:
    numbers = [to_number(each) for each in found]
    if len(found) > MOST_NUMBERS and None not in numbers:
        raise TileSetError(
            asked,
            f"It has {len(found)} different numbers, which would be as many classes.",
            "Set 'kind: regression', or list them under 'classes' if they are classes.",
        )
