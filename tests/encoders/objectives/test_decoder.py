"""Doubling and convolution in one step against the two steps of PyTorch; sizes of drawn tiles."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv2d, interpolate

from histonic.core.errors import EncoderError
from histonic.encoders.objectives.decoder import DoublingConvolution, TileDecoder, doublings


@pytest.mark.parametrize(("channels", "filters", "side"), [(1, 1, 2), (3, 5, 4), (8, 2, 7)])
def test_one_step_equals_doubling_and_then_convolving(channels: int, filters: int, side: int) -> None:
    torch.manual_seed(side)
    layer = DoublingConvolution(channels, filters).double()
    maps = torch.randn(2, channels, side, side + 1, dtype=torch.float64)
    plain = conv2d(interpolate(maps, scale_factor=2, mode="nearest"), layer.weight, padding=1)
    ours = layer(maps)
    assert torch.allclose(ours, plain, atol=1e-12)
    weights = torch.randn_like(plain)
    (gradient,) = torch.autograd.grad((ours * weights).sum(), layer.weight)
    (expected,) = torch.autograd.grad((plain * weights).sum(), layer.weight)
    assert torch.allclose(gradient, expected, atol=1e-10)


@pytest.mark.parametrize(("tile_px", "count"), [(8, 1), (16, 2), (64, 4), (128, 5), (256, 6)])
def test_how_often_four_pixels_are_doubled(tile_px: int, count: int) -> None:
    assert doublings(tile_px) == count


@pytest.mark.parametrize("tile_px", [0, 4, 12, 63, 96, 100, 1024])
def test_sides_that_doubling_does_not_reach(tile_px: int) -> None:
    with pytest.raises(EncoderError, match=f"tile_px is {tile_px}"):
        doublings(tile_px)


def test_drawn_tiles_are_float32_between_minus_one_and_one_also_in_bfloat16() -> None:
    torch.manual_seed(0)
    decoder = TileDecoder(8, 16, (8, 8, 4)).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        tiles = decoder(torch.randn(4, 8) * 100)
    assert tiles.shape == (4, 3, 32, 32) and tiles.dtype == torch.float32
    assert tiles.abs().max() <= 1 and tiles.std() > 0.1


def test_the_decoder_stays_channels_last() -> None:
    decoder = TileDecoder(8, 16, (8, 8)).to(memory_format=torch.channels_last)
    seen = []
    for layer in decoder.body:
        layer.register_forward_hook(lambda _layer, _given, maps: seen.append(maps))
    decoder(torch.randn(4, 8))
    assert len(seen) == 6
    assert all(maps.is_contiguous(memory_format=torch.channels_last) for maps in seen)
