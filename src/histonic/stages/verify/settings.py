"""Settings of 'histonic verify'."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from histonic.core.settings import Settings


class VerifySettings(Settings):
    """Stores, runs, bundles or encoders to what is damaged in them."""

    paths: tuple[Path, ...] = Field(
        min_length=1, description="Stores, runs, bundles, or .safetensors files of encoders."
    )
    repair: bool = Field(
        False, description="Remove what is damaged and can be made anew by the same command as before."
    )
