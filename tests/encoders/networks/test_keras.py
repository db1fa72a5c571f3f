"""Layers as Keras computes them; whole encoders are tested beside the reading of their files."""

from __future__ import annotations

import pytest
import torch

from histonic.core.errors import EncoderError
from histonic.encoders.base import EncoderSpec, load_encoder
from histonic.encoders.networks.keras import KerasConvolution, KerasEncoder, make_layer


@pytest.mark.parametrize(("side", "first"), [(8, 4), (7, 3)])
def test_what_is_odd_of_the_padding_lies_below(side: int, first: int) -> None:
    """An even side is padded by one row at the end only, an odd one by one row at both ends."""
    layer = KerasConvolution(1, 1, (3, 3), (2, 2), same=True, bias=False)
    torch.nn.init.ones_(layer.weight)
    counts = layer(torch.ones(1, 1, side, side))[0, 0]
    assert counts.shape == (4, 4)
    # The corner window sees 3 x 3 pixels of an even side and 2 x 2 of an odd one.
    assert float(counts[0, 0].detach()) == (9 if first == 4 else 4)
    assert float(counts[-1, -1].detach()) == 4


def test_vectors_are_flattened_channels_last() -> None:
    maps = torch.arange(8.0).reshape(1, 2, 2, 2)
    assert make_layer({"kind": "flatten"})(maps).tolist() == [[0, 4, 1, 5, 2, 6, 3, 7]]
    assert make_layer({"kind": "mean"})(maps).tolist() == [[1.5, 5.5]]


def test_without_its_layers_it_is_nothing() -> None:
    with pytest.raises(EncoderError, match="which layers"):
        KerasEncoder.build(EncoderSpec("x", "keras", 128, 0.5, 16))
    with pytest.raises(EncoderError, match="without weights"):
        load_encoder("keras")
