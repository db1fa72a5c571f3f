"""Settings of 'histonic demo'."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from histonic.core.settings import DEFAULT_ENCODER, Settings


class DemoSettings(Settings):
    """A simulated cohort through compress, train and report."""

    out: Path = Field(default=Path("histonic-demo"), description="Folder for slides, store and run.")
    patients: int = Field(default=80, ge=12, le=100_000, description="Simulated patients.")
    encoder: str = Field(default=DEFAULT_ENCODER, description="Encoder for the demo.")
    max_epochs: int = Field(default=200, ge=1, le=1_000_000, description="Epochs of the training, at most.")
    seed: int = Field(default=0, ge=0, description="Seed of the cohort and the training.")
