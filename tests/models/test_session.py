"""Aggregators registered in a session: tried at once, with the slip named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from histonic.aggregators.base import build_model
from histonic.aggregators.registry import AGGREGATORS
from histonic.core.errors import SettingsError
from histonic.core.task import Task
from histonic.models.session import register_aggregator


class Middle(nn.Module):
    def __init__(self, code_size: int, crop_cells: int) -> None:
        super().__init__()
        self.size = code_size

    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return codes.mean((2, 3))


@pytest.fixture
def name() -> Iterator[str]:
    yield "test-own"
    AGGREGATORS.forget("test-own")


def test_a_class_of_the_session_makes_models(name: str) -> None:
    before = torch.get_rng_state()
    assert register_aggregator(name)(Middle) is Middle
    assert torch.equal(before, torch.get_rng_state()), "trying it leaves the session's chance alone"
    task = Task("msi", "binary", ("msi",), ("no", "yes"))
    model = build_model(name, code_size=5, crop_cells=16, tasks=[task])
    assert isinstance(model.aggregator, Middle)


class Wide(Middle):
    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return codes.mean(3)


class Nameless(nn.Module):
    def __init__(self, code_size: int, crop_cells: int) -> None:
        super().__init__()

    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return codes.mean((2, 3))


class Narrow(Middle):
    def __init__(self, code_size: int) -> None:
        super().__init__(code_size, 8)


@pytest.mark.parametrize(
    ("member", "found"),
    [(Wide, r"it gave \(2, 6, 24\)"), (Nameless, "without size"), (Narrow, "it failed: TypeError")],
)
def test_slips_are_named_when_it_is_registered(name: str, member: type[nn.Module], found: str) -> None:
    with pytest.raises(SettingsError, match=found):
        register_aggregator(name)(member)
    assert name not in AGGREGATORS


def test_names_of_histonic_are_taken() -> None:
    with pytest.raises(SettingsError, match=r"histonic has .* of that name"):
        register_aggregator("convnet")(Middle)
