"""A made-up store of small maps and its label table, for the stages after compression."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from histonic.core.compressed import CompressedSlide
from histonic.core.grid import TileGrid
from histonic.data.store import encoder_path, write_map
from histonic.encoders.base import describe, load_encoder

SETTINGS = {
    "orientations": 1,
    "precision": "32",
    "tissue": {"mpp": 8.0, "min_speck_um2": 20000.0, "max_hole_um2": 40000.0, "min_cell_share": 0.25},
}


def fake_slide(
    slide_id: str, codes: np.ndarray, mask: np.ndarray, encoder: Mapping[str, Any] | None = None
) -> CompressedSlide:
    """A compressed slide that no slide stands behind."""
    rows, cols = mask.shape
    grid = TileGrid.over((cols * 128, rows * 128), slide_mpp=0.5, tile_px=128, mpp=0.5)
    made_by = encoder or describe(load_encoder("colour"))
    kept = (codes * mask).astype(np.float16)
    return CompressedSlide(slide_id, kept, mask, grid, made_by, {"fingerprint": slide_id}, {}, SETTINGS)


def make_store(
    folder: Path, patients: int = 20, side: int = 10, slides_each: int = 1, strength: float = 1.5
) -> Path:
    """Write ``folder/store`` and ``folder/labels.csv``; the first channels carry a severity per patient."""
    rng = np.random.default_rng(7)
    rows = []
    for number in range(patients):
        severity = rng.normal()
        time, limit = rng.exponential(30 * np.exp(-severity)) + 1, rng.uniform(20, 90)
        for part in range(slides_each):
            slide_id = f"s{number:02d}{'abc'[part]}"
            mask = np.ones((side, side - 1), bool)
            mask[: rng.integers(0, 2), :] = False
            codes = rng.normal(size=(18, *mask.shape))
            codes[:2] += strength * severity
            write_map(folder / "store" / f"{slide_id}.zarr", fake_slide(slide_id, codes, mask))
            rows.append(
                {
                    "patient_id": f"P{number:02d}",
                    "slide_id": slide_id,
                    "site": "AB"[number % 2],
                    "grade": ["low", "mid", "high"][int(np.digitize(severity, [-0.5, 0.5]))],
                    "msi": "yes" if number % 2 else "no",
                    "score": round(50 + 10 * severity, 2),
                    "os_months": round(min(time, limit), 1),
                    "os_event": int(time < limit),
                }
            )
    load_encoder("colour").save(encoder_path(folder / "store"))
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def store_maker() -> Callable[..., Path]:
    """The function :func:`make_store`."""
    return make_store


@pytest.fixture(scope="session")
def slide_maker() -> Callable[..., CompressedSlide]:
    """The function :func:`fake_slide`."""
    return fake_slide


@pytest.fixture(scope="session")
def cohort_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``store`` and ``labels.csv`` of 20 patients; not to be changed."""
    return make_store(tmp_path_factory.mktemp("cohort"))
