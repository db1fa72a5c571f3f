"""How near the codes of an encoder in bfloat16 lie to those in float32."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from histonic.encoders.base import ENCODERS, EncoderSpec, Tensors, architecture_entry
from histonic.encoders.engines.choice import least_cosine
from histonic.encoders.networks.convolutional import NetworkEncoder

DIGITS = 10_000


def half_cosine(encoder: NetworkEncoder, tiles: npt.NDArray[np.uint8]) -> float | None:
    """Least cosine between an encoder's codes in bfloat16 and in float32, rounded down to four digits.

    None if the network does not run in bfloat16, as scripts with constants of their own do not.

    Args:
        encoder: In single precision, on the CPU.
        tiles: uint8 ``(N, tile_px, tile_px, 3)``, at least one.
    """
    try:
        with torch.inference_mode():
            halved = encoder.running_network(half=True)(torch.from_numpy(tiles)).numpy()
    except RuntimeError:
        return None
    return math.floor(least_cosine(encoder.encode(tiles), halved) * DIGITS) / DIGITS


def with_half_cosine(spec: EncoderSpec, tensors: Tensors, tiles: npt.NDArray[np.uint8]) -> EncoderSpec:
    """A spec that says how near codes in bfloat16 lie to those in float32, on real tiles.

    Args:
        spec: Of the encoder.
        tensors: Its weights.
        tiles: uint8 ``(N, tile_px, tile_px, 3)``; without any nothing is said.

    Returns:
        The spec with ``half_cosine``, the least over the tiles, rounded down to four digits.
    """
    if not len(tiles):
        return spec
    make = ENCODERS.get(architecture_entry(spec)).from_tensors
    try:
        codes, others = (make(spec, tensors, "cpu", precision).encode(tiles) for precision in ("32", "bf16"))
    except RuntimeError:
        return spec
    return replace(spec, half_cosine=math.floor(least_cosine(codes, others) * DIGITS) / DIGITS)
