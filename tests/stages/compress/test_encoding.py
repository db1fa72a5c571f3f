"""The encoding half of compression: order, orientations, the store's engine and precision, damaged codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from histonic.core.compressed import ORIENTATIONS, orient
from histonic.core.errors import EncoderError
from histonic.core.progress import Silent
from histonic.encoders.base import Encoder, load_encoder
from histonic.encoders.engines import choice
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress import encoding as encoding_module
from histonic.stages.compress.compress import compress
from histonic.stages.compress.encoding import ENGINE_FILE, TileEncoding, precision_of
from histonic.stages.compress.reading import Tiles
from histonic.stages.compress.settings import CompressSettings

ALL = np.random.default_rng(0).integers(0, 256, (23, 128, 128, 3), dtype=np.uint8)


def batches(size: int) -> list[Tiles]:
    cells = np.stack([np.arange(len(ALL)), np.zeros(len(ALL), int)], axis=1)
    starts = range(0, len(ALL), size)
    return [
        Tiles(cells[at : at + size], ALL[at : at + size], np.zeros(len(ALL[at : at + size]), np.float32))
        for at in starts
    ]


def encoded(folder: Path | None, encoder: Encoder | None = None, **values: Any) -> list[tuple[Any, Any]]:
    settings = CompressSettings(out=folder or Path("x"), encoder="colour", precision="32", **values)
    with TileEncoding(encoder or load_encoder("colour"), settings, folder) as encoding:
        return list(encoding.encode(iter(batches(3)), "a slide", 23, Silent()))


@pytest.mark.parametrize("batch", [3, 1, 256])
def test_codes_come_with_their_tiles_in_order(batch: int) -> None:
    found = encoded(None, batch=batch)
    assert [len(tiles.cells) for tiles, _ in found] == [3] * 7 + [2]
    codes = np.concatenate([codes for _, codes in found])
    np.testing.assert_allclose(codes[:, 0], load_encoder("colour").encode(ALL), atol=1e-6)


def test_each_orientation_is_that_of_the_turned_tiles() -> None:
    codes = np.concatenate([codes for _, codes in encoded(None, orientations=8, encoder=Corner())])
    assert codes.shape == (len(ALL), ORIENTATIONS, 3)
    for turn in range(ORIENTATIONS):
        np.testing.assert_array_equal(codes[:, turn], orient(ALL, turn, axes=(1, 2))[:, 0, 0])


class Corner:
    """The colour of the first pixel, which changes as a tile is turned."""

    spec = load_encoder("mean-rgb").spec
    fingerprint = "corner"
    tensors: dict[str, npt.NDArray[Any]] = {}  # noqa: RUF012 - none
    value = 1.0

    def encode(self, tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return tiles[:, 0, 0].astype(np.float32) * self.value

    def save(self, path: Any) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e4])
def test_codes_that_no_map_can_hold_are_refused(value: float) -> None:
    damaged = Corner()
    damaged.value = value
    with pytest.raises(EncoderError, match=r"Encode a slide with 'mean-rgb'"):
        encoded(None, encoder=damaged)


def test_an_encoder_that_fails_ends_the_run_with_its_error() -> None:
    class Failing(Corner):
        def encode(self, tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            raise MemoryError("no more")

    with pytest.raises(MemoryError, match="no more"):
        encoded(None, encoder=Failing())


def test_nothing_is_described_before_it_is_done() -> None:
    settings = CompressSettings(out=Path("x"), encoder="colour", precision="32")
    with pytest.raises(EncoderError, match="Nothing was encoded"):
        _ = TileEncoding(load_encoder("colour"), settings, None).description


def engines_asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    asked = []
    inner = choice.start_encoding

    def start(*given: Any, **values: Any) -> Any:
        asked.append(values["engine"])
        return inner(*given, **{**values, "engine": "eager"})

    monkeypatch.setattr(encoding_module, "start_encoding", start)
    return asked


def test_a_store_goes_on_with_the_engine_of_its_first_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = engines_asked(monkeypatch)
    encoded(tmp_path)
    assert json.loads((tmp_path / ENGINE_FILE).read_text()) == {"engine": "eager"}
    encoded(tmp_path)
    (tmp_path / ENGINE_FILE).write_text('{"engine": "compiled"}')
    encoded(tmp_path)
    encoded(tmp_path, engine="eager")
    assert asked == [None, "eager", "compiled", "eager"]
    assert json.loads((tmp_path / ENGINE_FILE).read_text()) == {"engine": "compiled"}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"engine": "steam"}', '{"engine": ['])
def test_a_record_that_cannot_be_read_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    asked = engines_asked(monkeypatch)
    (tmp_path / ENGINE_FILE).write_text(text)
    encoded(tmp_path)
    assert asked == [None]


def test_a_store_goes_on_with_its_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(2):
        image = np.full((300, 400, 3), (200, 120 + seed, 180), np.uint8)
        write_pyramid(tmp_path / f"s{seed}.tif", image, mpp=0.5)
    store = tmp_path / "store"
    monkeypatch.setattr(choice, "is_half_fast", lambda device: True)
    compress(slides=[tmp_path / "s0.tif"], encoder="histonic-mtl", out=store, precision="32")
    settings = CompressSettings(out=store, slides=(tmp_path,), encoder="histonic-mtl")
    assert precision_of(settings) == "32"
    assert precision_of(settings.model_copy(update={"precision": "bf16"})) == "bf16"
    assert compress(slides=[tmp_path], encoder="histonic-mtl", out=store).done == ["s1"]
    assert precision_of(CompressSettings(out=tmp_path / "new")) == "32"  # the default encoder is of it alone
    assert precision_of(CompressSettings(out=tmp_path / "new", encoder="histonic-mtl")) == "bf16"
    assert precision_of(CompressSettings(out=tmp_path / "new", encoder="colour")) == "32"
