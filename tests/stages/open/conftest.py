"""A small trained run of images in memory, whose labels were a DataFrame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from histonic.stages.compress.compress import compress
from histonic.stages.train.train import train_slides

PATIENTS = 8


@pytest.fixture(scope="session")
def labels() -> pd.DataFrame:
    """A row a slide, indexed by patient; the first patient has two."""
    names = [f"P{number:03d}" for number in (0, *range(PATIENTS))]
    scores = [round(10.0 + 3.7 * int(name[1:]), 1) for name in names]
    slides = [f"{name}-{names[:place].count(name) + 1}" for place, name in enumerate(names)]
    table = {"patient_id": names, "slide_id": slides, "proliferation_score": scores}
    return pd.DataFrame(table).set_index("patient_id")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, labels: pd.DataFrame) -> Path:
    """A run of linear models; beside it lies the store."""
    folder = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(0)
    images = {}
    for slide_id, score in zip(labels["slide_id"], labels["proliferation_score"], strict=True):
        shape = (256, 384, 3) if slide_id.endswith("1") else (384, 384, 3)
        images[slide_id] = (np.clip(rng.normal(220 - 2 * score, 20, shape), 0, 255).astype(np.uint8), 0.5)
    compress(slides=images, encoder="colour", out=folder / "store", tissue="all")
    target = "proliferation_score:regression"
    return train_slides(store=folder / "store", labels=labels, target=target, out=folder / "run", quick=True)
