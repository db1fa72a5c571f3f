"""Settings of 'histonic compare'."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from histonic.core.settings import Settings


class CompareSettings(Settings):
    """Two or more runs to their differences."""

    runs: tuple[Path, ...] = Field((), description="Run folders, two or more.")
    target: tuple[str, ...] = Field(
        (), description="Target to compare, repeat for several; by default all that the runs share."
    )
    primary: tuple[str, ...] = Field(
        (), description="Metric that is tested, TARGET=METRIC; by default that of the runs."
    )
    out: Path | None = Field(None, description="Folder for comparison.md, .csv and .json.")
    resamples: int = Field(
        2000, ge=100, le=1_000_000, description="Resamples of the patients for the 95 % intervals."
    )
    permutations: int = Field(
        2000, ge=100, le=1_000_000, description="Permutations of predictions for the p-values."
    )
    seed: int = Field(0, ge=0, description="Seed of resamples and permutations.")
