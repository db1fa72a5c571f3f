"""Settings of 'histonic audit'."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from histonic.core.task import MOST_TARGETS
from histonic.data.tables.settings import TableSettings


class AuditSettings(TableSettings):
    """Maps and a label table to what but the tissue could explain the labels."""

    store: Path = Field(description="Store made by 'histonic compress'.")
    labels: Path = Field(description="Label table: CSV, TSV, Excel or Parquet.")
    target: tuple[str, ...] = Field(
        min_length=1, max_length=MOST_TARGETS, description="NAME[:KIND[:COLUMNS]]; repeat for several."
    )
    out: Path | None = Field(None, description="Folder for audit.json, audit.csv and confounders.csv.")
    confounder: tuple[str, ...] = Field(
        (), description="Further column of the table to be tested (batch, age ...); repeat for several."
    )
    other: dict[str, str] = Field(
        {}, description="Cohort that must share nothing: a name and its store, run or label table."
    )
    permutations: int = Field(
        2000, ge=200, le=1_000_000, description="Permutations of the targets, for the p-values."
    )
    seed: int = Field(0, ge=0, description="Seed of the permutations.")
