"""A small trained run whose labels were a DataFrame."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from histonic.simulate.slides import simulate_cohort
from histonic.stages.compress.compress import compress
from histonic.stages.train.train import train_slides


@pytest.fixture(scope="session")
def labels(trained: Path) -> pd.DataFrame:
    """The label table of the run, indexed by patient."""
    return pd.read_csv(trained.parent / "labels.csv", dtype=str).set_index("patient_id")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of linear models; beside it lie store and slides."""
    folder = tmp_path_factory.mktemp("trained")
    cohort = simulate_cohort(folder, patients=8, seed=1, side_px=512, processes=1)
    compress(slides=cohort.slides_dir, encoder="colour", out=folder / "store")
    frame = pd.read_csv(cohort.labels_csv, dtype=str).set_index("patient_id")
    target = "proliferation_score:regression"
    return train_slides(store=folder / "store", labels=frame, target=target, out=folder / "run", quick=True)
