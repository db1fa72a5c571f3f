"""Settings of 'histonic verify'."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from pydantic import Field

from histonic.core.settings import GivenPath, Settings


class VerifySettings(Settings):
    """Stores, runs, bundles or encoders to what is damaged in them."""

    paths: tuple[Path, ...] = Field(
        min_length=1, description="Stores, runs, bundles, or .safetensors files of encoders."
    )
    quick: bool = Field(
        default=False,
        description="Of maps compare facts and files with their checksums, but do not read every byte.",
    )
    repair: bool = Field(
        default=False,
        description="Remove what is damaged and can be made anew by the same command as before.",
    )


class VerifyKeywords(TypedDict, total=False):
    """The fields of :class:`VerifySettings`, as keywords of a Python call."""

    paths: GivenPath | Sequence[GivenPath]
    quick: bool
    repair: bool
