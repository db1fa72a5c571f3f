"""Trainings started by torchrun: two processes learn what one does, and one of them writes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from lightning_fabric.strategies import DDPStrategy
from PIL import Image

from histonic.core.errors import SettingsError
from histonic.encoders.base import load_encoder
from histonic.stages.encoder.train import train_encoder
from histonic.stages.train.train import train_slides
from histonic.training.devices import make_fabric
from histonic.training.ranks import WAIT, led

RTOL = 1e-3
"""Of losses: sums of two halves are rounded otherwise than that of the whole."""


def of_rank(monkeypatch: pytest.MonkeyPatch, rank: int, world: int) -> None:
    given = {"TORCHELASTIC_RUN_ID": "a", "RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
    for name, value in given.items():
        monkeypatch.setenv(name, str(value))


def test_alone_the_work_is_done_here() -> None:
    assert led(3, lambda devices: make_fabric("cpu"), lambda devices: devices, lambda: 0) == 3


def test_another_number_of_devices_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    of_rank(monkeypatch, 0, 4)
    with pytest.raises(SettingsError, match="torchrun has started 4 processes"):
        led(2, lambda devices: make_fabric("cpu"), lambda devices: devices, lambda: 0)


def test_others_wait_for_days_until_the_first_one_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    of_rank(monkeypatch, 1, 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    strategy = make_fabric("cpu", 2).strategy
    assert isinstance(strategy, DDPStrategy) and strategy._timeout == WAIT > timedelta(days=1)


def torchrun(*words: str) -> subprocess.CompletedProcess[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = ["--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", str(port)]
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *start, "-m", "histonic", *words],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.long
def test_two_ranks_train_slides_as_one_does(cohort_folder: Path, tmp_path: Path) -> None:
    given = {"folds": 3, "max_epochs": 2, "initialisations": 1, "aggregator": "clam", "batch": 4}
    data = {"store": cohort_folder / "store", "labels": cohort_folder / "labels.csv"}
    words = [f"--{key.replace('_', '-')}={value}" for key, value in given.items()]
    words += ["--target", "score:regression", "--device", "cpu", "--labels", str(data["labels"])]
    command = ["train", str(data["store"]), *words, "--out", str(tmp_path / "two")]
    done = torchrun(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained; see it with") == 1, "one process prints"
    one = train_slides(**data, **given, target=["score:regression"], device="cpu", out=tmp_path / "one")
    losses = [pd.read_csv(run / "history.csv")["train_loss"].dropna() for run in (one, tmp_path / "two")]
    assert len(losses[1]) == 6 and np.allclose(*losses, rtol=RTOL)
    values = [pd.read_csv(run / "predictions/score.csv").predicted for run in (one, tmp_path / "two")]
    assert np.allclose(*values, rtol=RTOL)
    again = torchrun(*command, "--devices", "2")
    assert again.returncode == 0 and "is finished already" in again.stderr, again.stderr
    other = torchrun(*command, "--devices", "3")
    assert other.returncode != 0 and "torchrun has started 2 processes" in other.stderr


@pytest.mark.long
def test_two_ranks_train_an_encoder_as_two_devices_do(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, base in (("pale", 200), ("dark", 60)):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(base, base + 40, (64, 64, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / name / f"{number}.png")
    given = {
        "sets": [{"name": "tint", "path": str(tmp_path / "set"), "mpp": 1.0}],
        **{"tile_px": 64, "mpp": 1.0, "code_size": 8, "batch": 8, "steps": 2, "max_epochs": 2},
        "device": "cpu",
    }
    file = tmp_path / "encoder.yaml"
    file.write_text(yaml.safe_dump(given))
    done = torchrun("encoder", "train", "--config", str(file), "--out", str(tmp_path / "ranks"))
    assert done.returncode == 0, done.stderr
    train_encoder(**given, devices=2, out=tmp_path / "devices")
    left, right = (load_encoder(tmp_path / name / "encoder.safetensors") for name in ("ranks", "devices"))
    assert left.fingerprint == right.fingerprint
    one = train_encoder(**given, out=tmp_path / "one")
    history = [pd.read_csv(run / "history.csv") for run in (one, tmp_path / "ranks")]
    # Of the untrained network: while it learns, each rank draws augmentations of its own.
    assert np.allclose(*(each["validation_loss"][:1] for each in history), rtol=RTOL)
    assert np.isfinite(history[1]["validation_loss"]).all()
