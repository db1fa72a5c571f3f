"""What was done of a step: by which settings, from which content, with which files as the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from histonic.core.documents import Document, read_document, write_document
from histonic.core.errors import RunError
from histonic.core.files import hash_of

PACKAGES = ("histonic", "numpy", "torch")
MOST_REASONS = 3
"""Changes that are named one by one."""


@dataclass(frozen=True)
class MadeOf:
    """What the result of a step depends on.

    Attributes:
        settings: Resolved, as plain values, but for paths: what lies there counts.
        inputs: Hashes of that, by what it is.
    """

    settings: Mapping[str, JsonValue]
    inputs: Mapping[str, str]


class StepRecord(Document):
    """``steps/NAME.json``: a step that was begun or is finished.

    Attributes:
        settings: See :class:`MadeOf`.
        inputs: See :class:`MadeOf`.
        outputs: SHA-256 of each file that it wrote, by its path in the folder of the study; empty for those
            that others may write anew, and that only have to be there.
        is_finished: Whether it came to its end.
        seconds: That it took; None if it was interrupted in between.
        work: How much was done in that time: slides, or networks times slides; 0 where it is not counted.
        versions: Of the packages.
    """

    FORMAT = "histonic-step-1"

    settings: dict[str, JsonValue]
    inputs: dict[str, str]
    outputs: Mapping[str, str] = {}
    is_finished: bool = False
    seconds: float | None = None
    work: int = 0
    versions: dict[str, str]

    @classmethod
    def begun(cls, made_of: MadeOf) -> StepRecord:
        """Of a step that begins now."""
        return cls(settings=dict(made_of.settings), inputs=dict(made_of.inputs), versions=versions())

    def changes(self, now: MadeOf, defaults: Mapping[str, JsonValue] | None = None) -> list[str]:
        """What is no longer as it was, in words; empty if all is the same.

        Args:
            now: What the step depends on now.
            defaults: Of its settings, which one has that was not there yet when the record was made.

        Example:
            >>> before = StepRecord(settings={"folds": 4}, inputs={"maps": "0a"}, versions={})
            >>> before.changes(MadeOf({"folds": 5}, {"maps": "0b"}))
            ['folds was 4, is 5', 'maps changed']
        """
        keys = [*now.settings, *(key for key in self.settings if key not in now.settings)]
        before = {**(defaults or {}), **self.settings}
        found = [
            f"{key} was {_short(before.get(key))}, is {_short(now.settings.get(key))}"
            for key in keys
            if before.get(key) != now.settings.get(key)
        ]
        names = [*now.inputs, *(name for name in self.inputs if name not in now.inputs)]
        found += [f"{name} changed" for name in names if self.inputs.get(name) != now.inputs.get(name)]
        return found

    def damaged(self, folder: Path) -> list[str]:
        """Files of the step that are gone, or are not what was written."""
        wrong = []
        for name, known in self.outputs.items():
            path = folder / name
            if not path.is_file():
                wrong.append(f"{name} is gone")
            elif known and hash_of(path) != known:
                wrong.append(f"{name} is not what was written")
        return wrong


def versions() -> dict[str, str]:
    """Of the packages that numbers depend on."""
    return {name: version(name) for name in PACKAGES}


def record_path(folder: Path, name: str) -> Path:
    """Where the record of a step lies."""
    return folder / "steps" / f"{name}.json"


def read_record(folder: Path, name: str) -> StepRecord | None:
    """The record of a step; None if there is none that can be read, so that the step is done again."""
    path = record_path(folder, name)
    try:
        return read_document(StepRecord, path, RunError, "Delete it.")
    except RunError:
        return None


def keep_record(folder: Path, name: str, record: StepRecord) -> None:
    """Write the record of a step.

    Raises:
        OutputError: It cannot be written.
    """
    write_document(record_path(folder, name), record)


def reason_words(reasons: list[str]) -> str:
    """Changes in one line.

    Example:
        >>> reason_words(["a changed", "b changed", "c changed", "d changed"])
        'a changed, b changed, c changed and 1 more'
    """
    if len(reasons) <= MOST_REASONS:
        return ", ".join(reasons)
    return f"{', '.join(reasons[:MOST_REASONS])} and {len(reasons) - MOST_REASONS} more"


def _short(value: Any, most: int = 60) -> str:
    text = "not set" if value is None else repr(value)
    return text if len(text) <= most else f"{text[:most]}..."
