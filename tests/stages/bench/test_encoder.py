"""An encoder alone: its rates, and how far other arithmetic agrees."""

from __future__ import annotations

import numpy as np
import pytest

from histonic.core.errors import HistonicError
from histonic.stages.bench.encoder import bench_encoder, simulated_tiles


def test_precisions_and_batches_are_measured() -> None:
    found = bench_encoder(encoder="mean-rgb", batch=40, seconds=0.01)
    assert [stage.name for stage in found.stages] == [
        "32, batches of 40",
        "32, batches of 32",
        "bf16, batches of 40",
    ]
    assert found.achieved == found.stages[0].per_second and found.floor is None
    assert "cosine of codes at least 1.00000" in found.stages[2].how


def test_tiles_are_of_tissue_and_repeat() -> None:
    tiles = simulated_tiles(128, 20)
    assert tiles.shape == (20, 128, 128, 3) and tiles.dtype == np.uint8 and tiles.std() > 10
    assert (tiles[16] == tiles[0]).all() and (tiles[1] != tiles[0]).any()


def test_an_encoder_that_there_is_not() -> None:
    with pytest.raises(HistonicError, match="colours"):
        bench_encoder(encoder="colours")
