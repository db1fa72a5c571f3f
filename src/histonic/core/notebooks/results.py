"""What a verb's result shows of itself: counts and failures, not all that it holds."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sized
from pathlib import Path
from typing import Any

from histonic.core.notebooks.cards import Card

FAILURES_SHOWN = 5


class Result:
    """Base of the dataclasses that verbs return.

    Example:
        >>> @dataclasses.dataclass(repr=False)
        ... class CutResult(Result):
        ...     out: Path
        ...     done: list[str]
        ...     seconds: float = 0.0
        >>> CutResult(Path("tiles"), ["a", "b"], 1.2345)
        CutResult (out: tiles, done: 2, seconds: 1.23)
    """

    def __repr__(self) -> str:
        return self._card().text()

    def _repr_html_(self) -> str:
        return self._card().html()

    def _card(self) -> Card:
        rows: list[tuple[str, str]] = []
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if field.name == "failures":
                rows += _failed(value)
            elif (text := _text(value)) is not None:
                rows.append((field.name.replace("_", " "), text))
        return Card(type(self).__name__, tuple(rows))


def _text(value: Any) -> str | None:
    """A value in a word or two; None where it says nothing."""
    if isinstance(value, Path | str | bool | int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Mapping) and all(isinstance(each, int | float) for each in value.values()):
        return ", ".join(f"{name} {each:.4g}" for name, each in value.items()) or None
    if isinstance(value, Sized):
        return str(len(value))
    return None


def _failed(failures: Any) -> list[tuple[str, str]]:
    """The count, then the first by name with their reasons."""
    rows = [("failures", str(len(failures)))]
    for each in list(failures)[:FAILURES_SHOWN]:
        *names, reason = each if isinstance(each, tuple) else (each.slide_id, each.reason)
        rows.append((f"failed: {', '.join(map(str, names))}", re.sub(r"\s+", " ", str(reason))))
    return rows
