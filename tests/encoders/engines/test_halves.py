from __future__ import annotations

import numpy as np
import pytest
import torch

from histonic.encoders.base import EncoderSpec, load_encoder
from histonic.encoders.engines.halves import with_half_cosine
from histonic.encoders.networks.nic import NicNetwork

SPEC = EncoderSpec("x", "nic", 64, 0.5, 8)
TILES = (np.linspace(0, 250, 64)[None, :, None, None] + np.zeros((6, 64, 64, 3))).astype(np.uint8)


def tensors(bias: float) -> dict[str, np.ndarray]:
    torch.manual_seed(0)
    network = NicNetwork(8, 64)
    network.code.bias.data[:] = bias
    return {name: value.numpy() for name, value in network.state_dict().items()}


def test_the_cosine_is_measured_on_the_tiles_and_rounded_down() -> None:
    found = with_half_cosine(SPEC, tensors(0.0), TILES).half_cosine
    assert found is not None
    assert 0.99 < found < 1
    assert found * 10_000 == pytest.approx(round(found * 10_000))


def test_codes_that_hang_on_small_differences_have_a_lower_one() -> None:
    # A large bias that is taken away again leaves what bfloat16 rounds away.
    given = tensors(0.0)
    spread = given["code.weight"].std()
    given["code.weight"] = (given["code.weight"] + 30 * spread).astype(np.float32)
    far = with_half_cosine(SPEC, given, TILES)
    given["code.bias"] -= load_codes(given)
    assert with_half_cosine(SPEC, given, TILES).half_cosine < far.half_cosine  # type: ignore[operator]


def load_codes(given: dict[str, np.ndarray]) -> np.ndarray:
    from histonic.encoders.networks.nic import NicEncoder

    return NicEncoder.from_tensors(SPEC, given, "cpu", "32").encode(TILES).mean(axis=0)


def test_nothing_is_said_without_tiles_and_statistics_do_not_change() -> None:
    assert with_half_cosine(SPEC, tensors(0.0), TILES[:0]).half_cosine is None
    colour = load_encoder("colour").spec
    tiles = np.repeat(np.repeat(TILES, 2, axis=1), 2, axis=2)
    assert with_half_cosine(colour, {}, tiles).half_cosine == 1.0
