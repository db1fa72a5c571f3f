"""Settings of 'histonic demo'."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from histonic.core.settings import DEFAULT_ENCODER, Settings


class DemoSettings(Settings):
    """A simulated cohort through compress, train and report."""

    out: Path = Field(Path("histonic-demo"), description="Folder for slides, store and run.")
    patients: int = Field(80, ge=12, le=100_000, description="Simulated patients.")
    encoder: str = Field(DEFAULT_ENCODER, description="Encoder for the demo.")
    max_epochs: int = Field(200, ge=1, le=1_000_000, description="Epochs of the training, at most.")
    seed: int = Field(0, ge=0, description="Seed of the cohort and the training.")
