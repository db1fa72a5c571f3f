"""Losses are examined in order, as soon as the device has them, and all of them before the mean is told."""

from __future__ import annotations

import pytest
import torch

from histonic.training import late_losses
from histonic.training.late_losses import LateLosses


class Device:
    """Events like those of a device that is some steps behind."""

    def __init__(self) -> None:
        self.is_ready = False
        self.waits = 0

    def query(self) -> bool:
        return self.is_ready

    def synchronize(self) -> None:
        self.waits += not self.is_ready


def late(losses: LateLosses, device: Device, value: float) -> None:
    """What ``add`` does for a device that works by itself."""
    losses._unread.append((torch.tensor(value), device, lambda: f"step {value}"))  # type: ignore[arg-type]
    losses.add(torch.tensor(value), lambda: "now")


def test_on_the_cpu_each_is_examined_at_once() -> None:
    seen: list[float] = []
    losses = LateLosses(lambda loss, explain: seen.append(loss))
    for number in range(3):
        losses.add(torch.tensor(float(number)), str)
        assert seen == list(range(number + 1))
    assert losses.mean() == 1.0


def test_a_device_is_waited_for_only_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    losses, device = LateLosses(lambda loss, explain: seen.append(explain())), Device()
    late(losses, device, 4.0)
    assert not seen and not device.waits
    assert losses.mean() == 4.0 and seen == ["step 4.0", "now"] and device.waits == 1


def test_what_is_ready_is_read_without_waiting() -> None:
    seen: list[float] = []
    losses, device = LateLosses(lambda loss, explain: seen.append(loss)), Device()
    device.is_ready = True
    late(losses, device, 2.0)
    assert seen == [2.0, 2.0] and not device.waits


def test_no_more_than_some_steps_are_left_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_losses, "MOST_UNREAD", 2)
    seen: list[float] = []
    losses, device = LateLosses(lambda loss, explain: seen.append(loss)), Device()
    late(losses, device, 1.0)
    losses.add(torch.tensor(5.0), str)
    assert seen == [1.0, 1.0, 5.0] and device.waits == 1


def test_no_step_has_no_mean() -> None:
    assert LateLosses(lambda loss, explain: None).mean() != LateLosses(lambda loss, explain: None).mean()
