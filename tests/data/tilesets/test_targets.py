"""Labels to tasks, and what cannot be one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from histonic.core.errors import TileSetError
from histonic.data.tilesets.listing import Listing, nowhere, texts, unknown
from histonic.data.tilesets.plan import TileSetSettings
from histonic.data.tilesets.targets import read_tile_targets


def targets(labels: dict[str, list[str]], **facts: Any) -> Any:
    count = len(next(iter(labels.values())))
    names = tuple(f"{row}.png" for row in range(count))
    columns = {column: texts(values) for column, values in labels.items()}
    nothing = unknown(count)
    listing = Listing(
        names,
        columns,
        nothing,
        nothing,
        nothing,
        nowhere(count),
        lambda row: np.zeros((1, 1, 3), np.uint8),
        "",
    )
    return read_tile_targets(
        TileSetSettings(name="set", path=Path("x"), label=tuple(labels), **facts), listing
    )


def test_classes_are_in_natural_order() -> None:
    tasks, values = targets({"grade": ["G10", "G2", "", "G1"]})
    assert tasks[0].classes == ("G1", "G2", "G10") and tasks[0].kind == "multiclass"
    assert np.array_equal(values["set"], [2, 1, np.nan, 0], equal_nan=True)


def test_columns_become_tasks_of_their_own() -> None:
    tasks, values = targets({"a": ["x", "y"], "b": ["y", "x"]})
    assert [task.name for task in tasks] == ["set.a", "set.b"] and tasks[1].columns == ("b",)
    assert values["set.a"].tolist() == [0, 1] and values["set.b"].tolist() == [1, 0]


def test_values_of_a_regression() -> None:
    tasks, values = targets({"share": ["0.5", "", "-2"]}, kind="regression")
    assert tasks[0].classes == () and np.array_equal(values["set"], [0.5, np.nan, -2], equal_nan=True)


@pytest.mark.parametrize(
    ("labels", "facts", "message"),
    [
        (["1", "inf"], {"kind": "regression"}, "1.png is labelled 'inf', which is no number"),
        (["2", "2"], {"kind": "regression"}, "All values are the same"),
        (["", ""], {}, "Every label is missing"),
        (["a", "b"], {"classes": ("a", "b", "a")}, "lists 'a' twice"),
        (["a", "c", "b", "c"], {"classes": ("a", "b")}, r"1.png is labelled 'c' \(so are 2 tiles\)"),
        ([str(row / 3) for row in range(40)], {}, "40 different numbers"),
    ],
)
def test_labels_that_cannot_be_used(labels: list[str], facts: dict[str, Any], message: str) -> None:
    with pytest.raises(TileSetError, match=message):
        targets({"label": labels}, **facts)
