"""Settings of 'histonic compare'."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from pydantic import Field

from histonic.core.settings import GivenPath, Settings


class CompareSettings(Settings):
    """Two or more runs to their differences."""

    runs: tuple[Path, ...] = Field(default=(), description="Run folders, two or more.")
    target: tuple[str, ...] = Field(
        default=(), description="Target to compare, repeat for several; by default all that the runs share."
    )
    primary: tuple[str, ...] = Field(
        default=(), description="Metric that is tested, TARGET=METRIC; by default that of the runs."
    )
    out: Path | None = Field(default=None, description="Folder for comparison.md, .csv and .json.")
    resamples: int = Field(
        default=2000, ge=100, le=1_000_000, description="Resamples of the patients for the 95 % intervals."
    )
    permutations: int = Field(
        default=2000, ge=100, le=1_000_000, description="Permutations of predictions for the p-values."
    )
    seed: int = Field(default=0, ge=0, description="Seed of resamples and permutations.")


class CompareKeywords(TypedDict, total=False):
    """The fields of :class:`CompareSettings`, as keywords of a Python call."""

    runs: GivenPath | Sequence[GivenPath]
    target: str | Sequence[str]
    primary: str | Sequence[str]
    out: GivenPath | None
    resamples: int
    permutations: int
    seed: int
