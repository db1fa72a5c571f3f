"""All tiles of a set are encoded, in their order, as the encoder itself does it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from histonic.core.progress import Silent
from histonic.data.tilesets.tile_set import TileSet
from histonic.encoders.base import load_encoder
from histonic.stages.transfer.tiles.encoding import AT_ONCE, encode_tiles


class Heard(Silent):
    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None]] = []
        self.done = 0

    def stage(self, name: str, total: int | None = None, **more: Any) -> None:
        self.stages.append((name, total))

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count


def test_codes_of_a_set_are_those_of_its_tiles_one_by_one() -> None:
    for name in ("histonic-mtl", "colour"):  # with a network, and with arithmetic of its own
        encoder = load_encoder(name)
        side = encoder.spec.tile_px
        rng = np.random.default_rng(0)
        tiles = SimpleNamespace(tiles=rng.integers(0, 256, (70, side, side, 3)).astype(np.uint8))
        heard = Heard()
        codes = encode_tiles(
            encoder, cast(TileSet, tiles), device="cpu", progress=heard, stage="encode noise"
        )
        np.testing.assert_allclose(codes, encoder.encode(tiles.tiles), rtol=1e-4, atol=1e-4)
        assert heard.done == 70 < AT_ONCE and heard.stages == [("encode noise", 70)]
