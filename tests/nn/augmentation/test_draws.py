"""Every tile draws its own value, evenly over the range."""

from __future__ import annotations

import pytest
import torch

from histonic.nn.augmentation.draws import Draws


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uniform(found: torch.Tensor, low: float, high: float, slack: float = 1e-3) -> None:
    """Whether values fill a range evenly: ends, mean, deviation, and the ten tenths."""
    width = high - low
    assert found.min() >= low - slack * width and found.max() <= high + slack * width
    assert found.mean().item() == pytest.approx((low + high) / 2, abs=0.03 * width)
    assert found.std().item() == pytest.approx(width / 12**0.5, rel=0.05)
    counts = torch.histc(found.float(), 10, low, high)
    wanted = len(found) / 10
    # Chi-squared with 9 degrees of freedom: 27.9 is exceeded once in a thousand.
    assert ((counts - wanted) ** 2 / wanted).sum() < 27.9


def test_draws_fill_their_range_evenly() -> None:
    draw = Draws(4000, torch.float32, torch.device("cpu"), generator())
    uniform(draw.around(1, 0.35).flatten(), 0.65, 1.35)
    uniform(draw.between(9, 11).flatten(), 9, 11)
    columns = draw.around(0, 0.2, 3)[..., 0, 0]
    assert (torch.corrcoef(columns.T) - torch.eye(3)).abs().max() < 0.06
