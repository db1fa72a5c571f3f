"""Training on a tiny store is measured; labels are not needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.stores import make_store
from histonic.core.errors import SettingsError, StoreError
from histonic.stages.bench.train import bench_train


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    make_store(folder, patients=8)
    return folder / "store"


def test_parts_and_whole_are_measured(store: Path) -> None:
    found = bench_train(store=store, batch=4, seconds=0.02, slides=6)
    assert [stage.name for stage in found.stages] == ["crops", "network", "validation"]
    crops, network, validation = found.stages
    assert crops.per_second and network.per_second == found.floor
    assert found.unit == "steps" and found.achieved > 0
    assert found.of_floor == pytest.approx(found.achieved / network.per_second)
    assert validation.share is not None and 0 <= validation.share < 1
    assert found.pace


def test_what_cannot_be_measured_is_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="fitted at once"):
        bench_train(store=store, aggregator="mean", seconds=0.01)
    make_store(tmp_path, patients=3)
    with pytest.raises(StoreError, match="3 maps"):
        bench_train(store=tmp_path / "store", seconds=0.01)
