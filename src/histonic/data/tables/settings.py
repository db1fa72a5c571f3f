"""How a label table is read: the same four settings for every verb that reads one."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from histonic.core.settings import Settings

TableStyle = Literal["auto", "histonic", "clam", "trident", "stamp", "pathobench", "slide2vec"]


class TableSettings(Settings):
    """Base of the settings of every verb that reads a label table."""

    table_style: TableStyle = Field("auto", description="Whose column names the table uses.")
    columns: dict[str, str] = Field(
        {}, description="Own column names, as canonical=column (patient_id=case)."
    )
    slide_table: Path | None = Field(
        None, description="Second table that joins patients and slides, if labels has none."
    )
    event_coding: Literal["event", "censored"] = Field(
        "event", description="What 1 means in the event column; 'censored' inverts it, explicitly."
    )
