"""Rules of single layers against torch, over parts that lie at the border."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from histonic.nn.streaming.layers import CELLWISE_LAYERS, CannotStream, Cellwise, Part, rule_of
from histonic.nn.streaming.streamed import stream
from histonic.nn.streaming.windows import Span


@pytest.mark.parametrize("kind", CELLWISE_LAYERS)
def test_activations_are_cellwise(kind):
    layer, image = kind().double(), torch.randn(1, 2, 9, 7, dtype=torch.float64)
    assert (stream(layer, image, tile_px=2) - layer(image)).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("pool", "first"),
    [
        # The top-left window of 3 x 3 over a border of 1 holds 4 cells: of ones, 4 of 9 or 4 of 4.
        (nn.AvgPool2d(3, 1, 1), 4 / 9),
        (nn.AvgPool2d(3, 1, 1, count_include_pad=False), 1.0),
        (nn.AvgPool2d(3, 1, 1, divisor_override=2), 2.0),
    ],
)
def test_means_at_the_border_are_over_what_torch_counts(pool, first):
    rule = rule_of(pool)
    corner = torch.ones(1, 1, 2, 2, dtype=torch.float64)
    found = rule.compute([corner], Part((Span(0, 1), Span(0, 1)), (9, 9), (1, 0, 1, 0)))
    assert found.item() == pytest.approx(first)


def test_maxima_at_the_border_see_no_zeros():
    below = -torch.ones(1, 1, 4, 4)
    assert (stream(nn.MaxPool2d(3, 1, 1), below, tile_px=2) == -1).all()


def test_layers_of_ones_own_have_to_say_that_they_are_cellwise():
    class Own(nn.Module):
        pass

    class Said(Cellwise):
        pass

    assert rule_of(Said()).in_place is False
    with pytest.raises(CannotStream):
        rule_of(Own())


def test_what_overwrites_is_run_without_overwriting():
    image = -torch.ones(1, 1, 5, 5)
    stream(nn.ReLU(inplace=True), image, tile_px=2)
    assert (image == -1).all()
