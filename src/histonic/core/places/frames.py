"""A table in memory that is given in the place of a file, such as a pandas DataFrame in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable

from pydantic import BeforeValidator
from pydantic_core import core_schema

NAME = "DataFrame"
"""What messages call it, where those of a file name the file."""


@runtime_checkable
class Frame(Protocol):
    """What is taken for a table: a pandas DataFrame, without pandas being loaded to ask."""

    @property
    def columns(self) -> Any:
        """Names of the columns."""

    @property
    def index(self) -> Any:
        """Labels of the rows."""

    @property
    def iloc(self) -> Any:
        """Rows by their place."""


class FrameTable:
    """A DataFrame in the place of a table file.

    Args:
        frame: The pandas DataFrame.
        copy: Where its copy is stored beside the results, so that these can be made again; None if nothing
            is kept of it.

    Example:
        >>> str(FrameTable(None)), str(FrameTable(None, Path("run/labels.csv"))), FrameTable(None).name
        ('DataFrame', 'run/labels.csv', 'DataFrame')
    """

    __slots__ = ("copy", "frame")

    def __init__(self, frame: Any, copy: Path | None = None) -> None:
        self.frame = frame
        self.copy = copy

    @property
    def name(self) -> str:
        """What messages call it."""
        return NAME

    def stored_at(self, copy: Path) -> FrameTable:
        """The same table, whose copy lies at a path."""
        return FrameTable(self.frame, copy)

    def __str__(self) -> str:
        return NAME if self.copy is None else self.copy.as_posix()

    def __repr__(self) -> str:
        return f"FrameTable({self})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.is_instance_schema(
            cls, serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        )


def table_of(given: Any) -> Any:
    """The table that a DataFrame is; anything else as it came.

    Raises:
        ValueError: It is a table of another package.
    """
    if isinstance(given, str | Path | FrameTable):
        return given
    if isinstance(given, Frame):
        return FrameTable(given)
    if hasattr(given, "to_pandas"):
        raise ValueError("a table of another package; give what its to_pandas() returns")
    return given


TablePlace = Path | FrameTable
GivenTable = Annotated[Path | FrameTable, BeforeValidator(table_of)]
"""In settings: the path of a table, or a DataFrame."""
GivenTableOrNone = Annotated[Path | FrameTable | None, BeforeValidator(table_of)]
TableLike = str | Path | Frame
"""How a table may be given in Python."""
