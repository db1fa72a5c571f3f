"""Trainings of encoders that take no time."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from histonic.core.task import Task
from histonic.encoders.base import EncoderSpec
from histonic.nn.heads import Heads
from histonic.stages.encoder.settings import TrainEncoderSettings
from histonic.stages.transfer.tiles.probe import ProbeResult, probe_codes


class FakeSet:
    """A tile set without files: the first pixel of a tile holds its class and its noise."""

    def __init__(self, name: str, classes: int) -> None:
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        n = 240
        names = tuple("abc"[:classes])
        self.plan = SimpleNamespace(name=name)
        self.tasks = (Task(name, "binary" if classes == 2 else "multiclass", ("label",), names),)
        truth = rng.integers(0, classes, n)
        self.targets = {name: truth.astype(float)}
        self.tiles = np.zeros((n, 16, 16, 3), np.uint8)
        self.tiles[:, 0, 0, 0] = truth
        self.tiles[:, 0, 0, 1] = rng.integers(0, 256, n)
        self.split = np.repeat(["train", "val", "test"], n // 3)
        self.group = np.array([f"{split}{number % 15}" for number, split in enumerate(self.split)])
        self.fingerprint = name

    def rows(self, split: str) -> np.ndarray:
        return np.flatnonzero(self.split == split)


class FakeEncoder:
    """An encoder that tells the classes as well as its file says: skill, and the skill on single sets."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts = facts
        self.spec = EncoderSpec("fake", "fake", 16, 0.5, 4)

    def encode(self, tiles: np.ndarray) -> np.ndarray:
        truth, noise = tiles[:, 0, 0, 0].astype(int), tiles[:, 0, 0, 1].astype(float) / 64 - 2
        rng = np.random.default_rng(self.facts["seed"])
        codes = rng.normal(size=(len(tiles), 4))
        codes[:, 0] = self.facts["skill"] * truth + noise
        return codes.astype(np.float32)


class FakeWorld:
    """Trainings that take no time, kept in the order in which they were asked for.

    Attributes:
        done: Trainings that were not found finished.
        steps: The same, and linear models.
        stop_at: Number of steps after which the next is interrupted.
    """

    def __init__(self) -> None:
        self.trainings: list[TrainEncoderSettings] = []
        self.done = self.steps = 0
        self.stop_at: int | None = None

    def step(self) -> None:
        if self.steps == self.stop_at:
            raise KeyboardInterrupt
        self.steps += 1

    def train(self, settings: TrainEncoderSettings, progress: object = None) -> Path:
        self.trainings.append(settings)
        out = settings.out
        if (out / "run.json").is_file():
            return out
        self.step()
        self.done += 1
        out.mkdir(parents=True)
        skill = 4.0 if settings.learning_rate == 0.1 else 1.0
        # More tasks make a better encoder; weights to begin with add to it.
        skill += len(settings.sets) + (2.0 if settings.weights else 0.0)
        facts = {"skill": skill, "seed": settings.seed}
        (out / "encoder.safetensors").write_text(json.dumps(facts), encoding="utf-8")
        heads = Heads([FakeSet(each.name, 2).tasks[0] for each in settings.sets], 4)
        for head in heads.heads:
            head.linear.weight.data[:, 0] = 1.0
            head.linear.bias.data[:] = -skill / 2
        if all(each.name != "kind" for each in settings.sets):
            from histonic.encoders.tile_heads import save_heads

            save_heads(out / "heads.safetensors", heads.tasks, 4, heads.state_dict())
        (out / "run.json").write_text("{}", encoding="utf-8")
        return out

    def load(self, name: str, device: str = "cpu") -> FakeEncoder:
        path = Path(name)
        return FakeEncoder(json.loads(path.read_text()) if path.is_file() else {"skill": 0.3, "seed": 1})

    def probe(self, *tiles: Any, **how: Any) -> ProbeResult:
        self.step()
        # Two values of C instead of eleven: the linear models are most of the time.
        return probe_codes(*tiles, **how, grid=(0.01, 1.0))


@pytest.fixture
def fake_world(monkeypatch: pytest.MonkeyPatch) -> FakeWorld:
    """Evaluation of encoders without tiles on the disk and without training."""
    from histonic.stages.transfer import evaluator, transfer
    from histonic.stages.transfer.tiles import evaluated

    world = FakeWorld()
    monkeypatch.setattr(
        evaluator, "read_set", lambda declared, *_: FakeSet(declared.name, 2 + (declared.name == "kind"))
    )
    monkeypatch.setattr(evaluator, "check_across", lambda sets: None)
    monkeypatch.setattr(evaluator, "train_encoder", world.train)
    monkeypatch.setattr(evaluator, "load_encoder", world.load)
    monkeypatch.setattr(evaluated, "probe_codes", world.probe)
    monkeypatch.setattr(transfer, "can_be_tuned", lambda name: name.endswith(".safetensors"))
    return world
