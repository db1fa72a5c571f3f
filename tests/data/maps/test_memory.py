"""Maps in memory and on disk give the same windows; bad numbers are refused by name."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from histonic.core.compressed import CompressedSlide, orient
from histonic.core.errors import StoreError
from histonic.core.processes.shared import CAN_SHARE
from histonic.core.progress import Silent
from histonic.core.units import RC
from histonic.data.maps import memory
from histonic.data.maps.memory import CellCodes, Maps
from histonic.data.maps.store import read_map
from histonic.data.maps.views import View
from histonic.data.maps.writer import write_map

Maker = Callable[..., CompressedSlide]


def random_slide(maker: Maker, slide_id: str = "a", shape: tuple[int, int] = (70, 80)) -> CompressedSlide:
    rng = np.random.default_rng(len(slide_id))
    return maker(slide_id, rng.normal(3, 2, (4, *shape)), rng.random(shape) < 0.6)


def test_disk_and_memory_agree(slide_maker: Maker, tmp_path: Path) -> None:
    write_map(tmp_path / "a.zarr", random_slide(slide_maker))
    views = [View("a", RC(-5, 60), 3), View("a", RC(30, 10), 6), View("a", RC(63, 63), 0)]
    kept, lazy = (
        Maps({"a": read_map(tmp_path / "a.zarr")}, Silent(), memory_bytes=size) for size in (1 << 30, 0)
    )
    for one, other in zip(kept.crops(views, 24), lazy.crops(views, 24), strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(kept.moments["a"].total, lazy.moments["a"].total)
    assert isinstance(kept._slides["a"].features, CellCodes)
    assert not isinstance(lazy._slides["a"].features, CellCodes)


def test_windows_turn_codes_and_mask_together(slide_maker: Maker) -> None:
    slide = random_slide(slide_maker, shape=(12, 12))
    maps = Maps({"a": slide}, Silent())
    for turn in range(8):
        codes, mask = maps.crops([View("a", RC(0, 0), turn)], 12)
        assert np.array_equal(codes[0], slide.oriented(turn)[0])
        assert np.array_equal(mask[0] > 0, slide.oriented(turn)[1])
        assert not codes[0][:, mask[0] == 0].any()


def test_encoded_orientations_are_used(slide_maker: Maker, tmp_path: Path) -> None:
    slide = random_slide(slide_maker, shape=(12, 10))
    turned = np.stack([slide.features[:] * (1 + o) for o in range(8)]).astype(np.float16)
    write_map(tmp_path / "a.zarr", replace(slide, orientations=turned))
    for size in (1 << 30, 0):
        maps = Maps({"a": read_map(tmp_path / "a.zarr")}, Silent(), memory_bytes=size)
        codes, _ = maps.crops([View("a", RC(2, 1), 5)], 8)
        assert np.array_equal(codes[0], orient(turned[5][:, 2:10, 1:9], 5))


def test_the_code_scale_is_that_of_all_tissue_cells(slide_maker: Maker) -> None:
    slides = {name: random_slide(slide_maker, name) for name in ("a", "bb", "ccc")}
    slides["a"].features[1] = np.where(slides["a"].mask, 7, 0)  # type: ignore[index]
    mean, spread = Maps(slides, Silent()).code_scale(["a", "ccc"])
    cells = np.concatenate(
        [np.asarray(slides[n].features[:], np.float64)[:, slides[n].mask] for n in ("a", "ccc")], axis=1
    )
    assert np.allclose(mean, cells.mean(axis=1)) and np.allclose(spread, cells.std(axis=1))
    assert Maps(slides, Silent()).code_scale(["a"])[1][1] == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_numbers_name_the_slide(bad: float, slide_maker: Maker) -> None:
    slide = random_slide(slide_maker, "broken")
    row, col = np.argwhere(slide.mask)[-1]
    slide.features[2, row, col] = bad  # type: ignore[index]
    with pytest.raises(StoreError, match=r"'broken'.*\n.*1 codes"):
        Maps({"broken": slide}, Silent())


def test_maps_without_tissue_or_of_another_size_are_refused(slide_maker: Maker) -> None:
    empty = slide_maker("empty", np.zeros((4, 8, 8)), np.zeros((8, 8), bool))
    with pytest.raises(StoreError, match="'empty'"):
        Maps({"empty": empty}, Silent())
    wide = slide_maker("wide", np.ones((5, 8, 8)), np.ones((8, 8), bool))
    with pytest.raises(StoreError, match="5 numbers"):
        Maps({"a": random_slide(slide_maker), "wide": wide}, Silent())


def codes_in(maps: Maps, answers: Any) -> None:
    """The work of another process; must stand in a module."""
    answers.put((maps.crops([View("a", RC(-5, 20), 3)], 24), maps.code_scale(["a", "bb"])))


@pytest.mark.skipif(not CAN_SHARE, reason="this system gives no process another one's files")
def test_other_processes_get_the_same_maps_without_a_copy(slide_maker: Maker, tmp_path: Path) -> None:
    slides = {name: random_slide(slide_maker, name) for name in ("a", "bb")}
    for name, slide in slides.items():
        write_map(tmp_path / f"{name}.zarr", slide)
    read = {name: read_map(tmp_path / f"{name}.zarr") for name in slides}
    # The second map stays on disk, and is opened there.
    maps = Maps(read, Silent(), memory_bytes=50_000, shared=True)
    assert [type(maps._slides[name].features) is CellCodes for name in ("a", "bb")] == [True, False]
    # What is pickled for the other process is far less than the 44,800 bytes of the codes.
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    other = context.Process(target=codes_in, args=(maps, answers), daemon=True)
    other.start()
    (codes, mask), (mean, spread) = answers.get()
    other.join()
    alone = Maps(slides, Silent())
    assert all(
        np.array_equal(one, two)
        for one, two in zip((codes, mask), alone.crops([View("a", RC(-5, 20), 3)], 24), strict=True)
    )
    assert np.array_equal(mean, alone.code_scale(["a", "bb"])[0])
    assert np.array_equal(spread, alone.code_scale(["a", "bb"])[1])


def test_numbers_of_a_cell_lie_side_by_side(slide_maker: Maker) -> None:
    codes, _ = Maps({"a": random_slide(slide_maker)}, Silent()).crops([View("a", RC(0, 0), 1)], 24)
    assert codes.shape == (1, 4, 24, 24) and codes.strides[1] == codes.itemsize


def test_maps_take_a_share_of_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 20 << 30)
    assert memory.memory_for_maps() == 10 << 30 and memory.memory_for_one_look() == 2 << 30
    monkeypatch.setattr(memory, "free_bytes", lambda: 1 << 30)
    assert memory.memory_for_maps() == memory.memory_for_one_look() == 1 << 29
    monkeypatch.setattr(memory, "free_bytes", lambda: None)
    assert memory.memory_for_maps() == 2 << 30
