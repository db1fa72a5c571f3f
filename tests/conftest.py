"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder with real slides, tiles, encoders and tables; tests that use it skip where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("HISTONIC_DATA", default))
    if not (folder / "slides").is_dir():
        pytest.skip("real data absent: set HISTONIC_DATA to the folder that holds slides/, encoders/ ...")
    return folder
