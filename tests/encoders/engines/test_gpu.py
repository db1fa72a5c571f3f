"""Encoding on a GPU, where there is one: the codes of the CPU, from several threads at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from histonic.encoders.base import load_encoder
from histonic.encoders.engines.gpu import encode_on_gpu

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


def test_codes_are_those_of_the_cpu() -> None:
    tiles = np.random.default_rng(0).integers(0, 256, (6, 4, 128, 128, 3), dtype=np.uint8)
    device = torch.device("cuda")
    network = load_encoder("histonic-mtl", device="cuda").tile_network  # type: ignore[attr-defined]
    encode = encode_on_gpu(network, device, 8)  # each part is filled up
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(encode, tiles))
    for part, codes in zip(tiles, found, strict=True):
        np.testing.assert_allclose(codes, load_encoder("histonic-mtl").encode(part), rtol=1e-2, atol=1e-2)
