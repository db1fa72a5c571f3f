"""Tiles packed once: whole or absent, read again when damaged, and never in memory at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from histonic.core.errors import OutputError, TileSetError
from histonic.core.progress import Progress, Silent
from histonic.data.tilesets import cache as tileset_cache
from histonic.data.tilesets.cache import Packed, packed_tiles
from histonic.data.tilesets.listing import Listing, nowhere, texts, unknown
from histonic.data.tilesets.plan import TileSetSettings


def listing(tiles: Sequence[np.ndarray | None], stamp: str = "stamp") -> Listing:
    """A listing of tiles in memory; None cannot be read."""

    def read(row: int) -> np.ndarray:
        if tiles[row] is None:
            raise ValueError("It is damaged.")
        return np.asarray(tiles[row])

    names = tuple(f"{row}.png" for row in range(len(tiles)))
    nothing = unknown(len(tiles))
    labels = {"label": texts(["a"] * len(tiles))}
    return Listing(names, labels, nothing, nothing, nothing, nowhere(len(tiles)), read, stamp)


def packed(
    where: Path,
    tiles: Sequence[np.ndarray | None],
    stamp: str = "stamp",
    progress: Progress | None = None,
    **facts: Any,
) -> Packed:
    plan = TileSetSettings(name="a set/of tiles", path=Path("x"), **{"scale": "fill", **facts})
    heard = progress or Silent()
    return packed_tiles(plan, listing(tiles, stamp), tile_px=8, mpp=0.5, cache=where, progress=heard)


def left(folder: Path) -> list[str]:
    """What lies in the cache, without the locks of those who wrote it."""
    return [path.name for path in folder.iterdir() if path.suffix != ".lock"]


def flat(*values: int, side: int = 8) -> list[np.ndarray]:
    return [np.full((side, side, 3), value, np.uint8) for value in values]


def test_tiles_keep_their_order_over_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tileset_cache, "AT_ONCE", 7)
    found = packed(tmp_path, flat(*range(100)))
    assert found.tiles[:, 0, 0, 0].tolist() == list(range(100)) and found.kept.tolist() == list(range(100))
    assert isinstance(found.tiles, np.memmap) and not found.tiles.flags.writeable
    assert left(tmp_path) == [found.folder.name]
    assert found.folder.name.startswith("a-set-of-tiles-")


def test_tiles_that_cannot_be_read_leave_no_gap(tmp_path: Path) -> None:
    found = packed(tmp_path, [None, *flat(1), None, *flat(2)])
    assert found.tiles[:, 0, 0, 0].tolist() == [1, 2] and found.kept.tolist() == [1, 3]
    assert found.failures == (
        {"path": "0.png", "reason": "It is damaged."},
        {"path": "2.png", "reason": "It is damaged."},
    )
    assert len(packed(tmp_path, [None], "none").tiles) == 0


def test_the_cache_is_used_if_whole_and_made_again_if_not(tmp_path: Path) -> None:
    found = packed(tmp_path, flat(1, 2))
    assert packed(tmp_path, flat(8, 9)).tiles[:, 0, 0, 0].tolist() == [1, 2]
    assert packed(tmp_path, flat(8, 9), "other files").tiles[0, 0, 0, 0] == 8
    assert packed(tmp_path, flat(8, 9), scale="mpp", mpp=0.5).folder != found.folder
    for name in ("tiles.npy", "facts.json", "kept.npy"):
        data = (found.folder / name).read_bytes()
        (found.folder / name).write_bytes(data[: len(data) // 2])
        assert packed(tmp_path, flat(5, 6)).tiles[:, 0, 0, 0].tolist() == [5, 6]


def test_the_second_of_two_runs_waits_and_decodes_nothing(tmp_path: Path) -> None:
    begun, waits = threading.Event(), threading.Event()
    stages: list[str] = []

    class First(Silent):
        def stage(self, name: str, total: int | None = None) -> None:
            stages.append(name)

        def advance(self, steps: int = 1, note: str = "") -> None:
            begun.set()
            assert waits.wait(30)

    class Second(First):
        def advance(self, steps: int = 1, note: str = "") -> None:
            raise AssertionError("It decodes what the first is decoding.")

        def say(self, line: str) -> None:
            assert line.startswith("waiting for another run that decodes a-set-of-tiles-")
            waits.set()

    found: list[Packed] = []
    first = threading.Thread(target=lambda: found.append(packed(tmp_path, flat(1, 2), progress=First())))
    first.start()
    assert begun.wait(30)
    try:
        found.append(packed(tmp_path, flat(1, 2), progress=Second()))
    finally:
        waits.set()
        first.join()
    assert [each.tiles[:, 0, 0, 0].tolist() for each in found] == [[1, 2], [1, 2]]
    assert stages == ["decoding a set/of tiles"]


def test_nothing_is_left_of_a_set_that_cannot_be_decoded(tmp_path: Path) -> None:
    with pytest.raises(TileSetError, match=r"Bring 1\.png .*\n.* 4 px at 0.5 µm/px: 2 of 4 µm needed"):
        packed(tmp_path, [*flat(1), *flat(1, side=4)], scale="mpp", mpp=0.5)
    assert left(tmp_path) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        packed(tmp_path / "file", flat(1))


def test_some_of_the_tiles_are_mapped_too(tmp_path: Path) -> None:
    found = packed(tmp_path, flat(*range(9)))
    some = found.only(np.array([1, 4, 8]))
    assert some[:, 0, 0, 0].tolist() == [1, 4, 8] and isinstance(some, np.memmap)
    assert found.only(np.arange(9)) is found.tiles
    assert np.array_equal(found.only(np.array([1, 4, 8])), some)


def test_hashes_are_of_the_file_and_not_of_the_tile(tmp_path: Path) -> None:
    first, second = flat(3, side=8)[0], flat(3, side=16)[0]
    same, again, other = packed(tmp_path, [first, first, second]).hashes
    assert same == again != other


def test_what_was_done_is_said_once(tmp_path: Path) -> None:
    sides = [*flat(1, side=4), *flat(1, side=8), *flat(1, side=16)]
    assert packed(tmp_path, sides).notes == (
        "whole tiles of 4 to 16 px (unknown µm/px) fill the encoder's, on purpose",
        "enlarged 0.50 to 2.00 times: no finer detail than the source's",
    )
    assert packed(tmp_path, flat(1), assumed_mpp=0.25).notes == (
        "0.25 µm/px is assumed, the source states none",
        "whole tiles of 8 px (0.25 µm/px) fill the encoder's, on purpose, which makes them 0.25 µm/px",
        "WARNING: objects are 2.0 times as large as on a slide at 0.5 µm/px; what is learned of them does "
        "not hold there ('scale: compose' shows them at their true scale)",
    )
    near = packed(tmp_path, flat(1), assumed_mpp=0.4)
    assert near.enlarged == pytest.approx(1.25)
    assert not any("WARNING" in note for note in near.notes)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, "not known"),
        ({"mpp": 5.0}, "enlarged 10.0 times"),
    ],
)
def test_resolutions_that_cannot_be_used(facts: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(TileSetError, match=message) as error:
        packed(tmp_path, flat(1), scale="mpp", **facts)
    assert "'a set/of tiles'" in str(error.value)


def test_a_middle_of_less_than_half_is_told(tmp_path: Path) -> None:
    # A tile of 8 px at 0.5 µm/px shows a quarter of 16 px, a sixteenth of 32 px, and all of 8 px.
    tiles = [*flat(1, side=16), *flat(2, side=32), *flat(3)]
    found = packed(tmp_path, tiles, scale="mpp", mpp=0.5)
    assert found.notes == (
        "of 2 of 3 pictures only the middle is shown, of the least 6 % of its area: are its labels those "
        "of the middle? ('histonic tiles extract' cuts pictures into tiles)",
    )
    assert packed(tmp_path, [*flat(1, side=11)], "larger half", scale="mpp", mpp=0.5).notes == ()


def test_wide_tiles_lie_beside_the_tiles_of_those_that_could_be_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tiles = [rng.integers(0, 255, (side, side, 3)).astype(np.uint8) for side in (8, 11, 40)]
    plan = TileSetSettings(name="a", path=Path("x"), mpp=0.5)
    known: dict[str, Any] = {"tile_px": 8, "mpp": 0.5, "cache": tmp_path, "progress": Silent()}
    found = packed_tiles(plan, listing([tiles[0], None, *tiles[1:]]), room=2, **known)
    assert found.wide is not None and found.wide.sides.tolist() == [8, 11, 16]
    assert np.array_equal(found.wide.tiles[2], tiles[2][12:28, 12:28])
    assert not found.wide.tiles[0, 8:].any() and "areas of 8 to 16 px" in " ".join(found.notes)
    some = found.wide_of(np.array([2]))
    assert some is not None and np.array_equal(some.square(0, rng).shape, (8, 8, 3))
    plain = packed_tiles(plan, listing([tiles[0], None, *tiles[1:]]), **known)
    assert plain.wide is None and plain.geometry != found.geometry
    assert np.array_equal(plain.tiles, found.tiles)


def test_what_is_blown_up_has_no_squares(tmp_path: Path) -> None:
    plan = TileSetSettings(name="a", path=Path("x"), scale="fill")
    known: dict[str, Any] = {"tile_px": 8, "mpp": 0.5, "cache": tmp_path, "progress": Silent()}
    found = packed_tiles(plan, listing(flat(1, 2, side=40)), room=2, **known)
    assert found.wide is None
    assert found.geometry == packed_tiles(plan, listing(flat(1, 2, side=40)), **known).geometry
