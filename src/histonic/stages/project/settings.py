"""Settings of 'histonic project'."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from pydantic import Field

from histonic.core.settings import GivenPath, Settings


class ProjectSettings(Settings):
    """A store of codes to a store of shorter ones."""

    store: Path = Field(description="Store of maps by the frozen encoder.")
    encoder: Path = Field(
        description="Projected encoder of it (.safetensors), from 'histonic encoder train' with --objective "
        "components or --freeze-trunk."
    )
    out: Path = Field(description="Store to write.")
    same_encoder: bool = Field(
        default=False,
        description="The store's codes were imported, and you know that the tool ran the very encoder that "
        "the projection was trained behind; only their tile, resolution and length can be compared.",
    )


class ProjectKeywords(TypedDict, total=False):
    """The fields of :class:`ProjectSettings`, as keywords of a Python call."""

    store: GivenPath
    encoder: GivenPath
    out: GivenPath
    same_encoder: bool
