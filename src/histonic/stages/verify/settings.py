"""Settings of 'histonic verify'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from pydantic import Field

from histonic.core.places.urls import GivenPlace, PlaceLike
from histonic.core.settings import Settings


class VerifySettings(Settings):
    """Stores, runs, bundles or encoders to what is damaged in them."""

    paths: tuple[GivenPlace, ...] = Field(
        min_length=1, description="Stores (s3://... too), runs, bundles, or .safetensors files of encoders."
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

    paths: PlaceLike | Sequence[PlaceLike]
    quick: bool
    repair: bool
