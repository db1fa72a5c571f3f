"""Settings of 'histonic audit'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field

from histonic.core.places.frames import GivenTable, TableLike
from histonic.core.places.urls import GivenPlace, PlaceLike
from histonic.core.settings import GivenPath
from histonic.core.task import MOST_TARGETS
from histonic.data.tables.settings import TableKeywords, TableSettings


class AuditSettings(TableSettings):
    """Maps and a label table to what but the tissue could explain the labels."""

    store: GivenPlace = Field(description="Store made by 'histonic compress': a folder, or s3://... .")
    labels: GivenTable = Field(description="Label table: CSV, TSV, Excel or Parquet.")
    target: tuple[str, ...] = Field(
        min_length=1, max_length=MOST_TARGETS, description="NAME[:KIND[:COLUMNS]]; repeat for several."
    )
    out: Path | None = Field(
        default=None, description="Folder for audit.json, audit.csv and confounders.csv."
    )
    confounder: tuple[str, ...] = Field(
        default=(),
        description="Further column of the table to be tested (batch, age ...); repeat for several.",
    )
    other: dict[str, str] = Field(
        default={}, description="Cohort that must share nothing: a name and its store, run or label table."
    )
    permutations: int = Field(
        default=2000, ge=200, le=1_000_000, description="Permutations of the targets, for the p-values."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the permutations.")
    private: bool = Field(default=False, description="Keep the paths of store and tables out of the result.")


class AuditKeywords(TableKeywords, total=False):
    """The fields of :class:`AuditSettings`, as keywords of a Python call."""

    store: PlaceLike
    labels: TableLike
    target: str | Sequence[str]
    out: GivenPath | None
    confounder: str | Sequence[str]
    other: Mapping[str, str]
    permutations: int
    seed: int
    private: bool
