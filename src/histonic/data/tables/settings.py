"""How tables are read: the same settings for every verb that reads one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict

from pydantic import BeforeValidator, Field

from histonic.core.places.frames import GivenTableOrNone, TableLike
from histonic.core.settings import Settings
from histonic.core.task import MOST_TARGETS, EventCodes, EventMeaning

TableStyle = Literal["auto", "histonic", "gdc", "clam", "trident", "stamp", "pathobench", "slide2vec"]
Decimal = Literal["auto", "point", "comma"]


def listed(value: Any) -> Any:
    """A single word as a list of one, and lists of a YAML file as tuples."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class SheetSettings(Settings):
    """Base of the settings of every verb that reads a table, of slides or of labels."""

    sheet: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        default=(),
        max_length=2,
        description="Sheet of an Excel table, by default the first. Twice where labels and slides stand in "
        "two: first that of the labels.",
    )

    @property
    def label_sheet(self) -> str | None:
        """Of a label table."""
        return self.sheet[0] if self.sheet else None

    @property
    def slide_sheet(self) -> str | None:
        """Of a table that names slides."""
        return self.sheet[-1] if self.sheet else None


class SlideListSettings(SheetSettings):
    """Base of the settings of every verb that is given slides."""

    names: Literal["file", "path"] = Field(
        default="file",
        description="What slides are called that no table names: file: by their file names; path: by their "
        "folders, too, from the one that is given (viable/a.jpg is viable__a).",
    )


class LabelSettings(SheetSettings):
    """Base of the settings of every verb that reads a label table, but for what its events mean."""

    table_style: TableStyle = Field(default="auto", description="Whose column names the table uses.")
    columns: dict[str, str] = Field(
        default={}, description="Own column names, as canonical=column (patient_id=case)."
    )
    slide_table: GivenTableOrNone = Field(
        default=None, description="Second table that joins patients and slides, if labels has none."
    )
    classes: dict[str, str] = Field(
        default={},
        description="Spellings of one class joined, as written=class (cll=CLL; grade:cll=CLL for one "
        "target); =NA takes a word for a missing value.",
    )
    decimal: Decimal = Field(
        default="auto", description="What separates decimals, where the table's numbers do not show it."
    )

    def reading(self) -> dict[str, Any]:
        """Keywords of :func:`histonic.data.tables.label_table.read_labels`."""
        return {
            "style": self.table_style,
            "columns": self.columns,
            "slide_table": self.slide_table,
            "sheet": self.label_sheet,
            "slide_sheet": self.slide_sheet,
            "classes": self.classes,
            "decimal": self.decimal,
        }


class TableSettings(LabelSettings):
    """Base of the settings of every verb that says what the events of a label table mean."""

    event_coding: EventCodes = Field(
        default="event",
        description="What 1 means in the event column: 'event'; 'censored', the inverse; '1/2': R's codes, "
        "1 = censored and 2 = event.",
    )
    event_of_interest: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        default=(),
        max_length=MOST_TARGETS,
        description="Code or word of the event, where others are competing causes (TARGET=CODE for one "
        "target); those count as censored for the hazard.",
    )

    def meaning(self) -> EventMeaning:
        """Keywords that say what event columns hold."""
        return {"event_coding": self.event_coding, "event_of_interest": self.event_of_interest}


class SheetKeywords(TypedDict, total=False):
    """The fields of :class:`SheetSettings`, as keywords of a Python call."""

    sheet: str | Sequence[str]


class SlideListKeywords(SheetKeywords, total=False):
    """The fields of :class:`SlideListSettings`."""

    names: Literal["file", "path"]


class LabelKeywords(SheetKeywords, total=False):
    """The fields of :class:`LabelSettings`."""

    table_style: TableStyle
    columns: Mapping[str, str]
    slide_table: TableLike | None
    classes: Mapping[str, str]
    decimal: Decimal


class TableKeywords(LabelKeywords, total=False):
    """The fields of :class:`TableSettings`."""

    event_coding: EventCodes
    event_of_interest: str | Sequence[str]
