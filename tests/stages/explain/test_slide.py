"""Pictures behind a map: from the slide file, else from the thumbnail, and never a crash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.ranges import serving
from histonic.core.compressed import CellMap, CompressedSlide, SlideDescription
from histonic.core.grid import TileGrid
from histonic.core.places.urls import Url
from histonic.slides.base import open_slide
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.explain.pictures import draw_overlay, draw_sheet, paint_overlay
from histonic.stages.explain.slide import cell_pictures, slide_picture
from histonic.stages.explain.values import choose_cells


@pytest.fixture
def placed(slide_maker: Callable[..., CompressedSlide], tmp_path: Path) -> CompressedSlide:
    """A map of 3 x 4 cells whose slide file exists; every cell has a colour of its own."""
    picture = np.zeros((3 * 128, 4 * 128, 3), np.uint8)
    for row in range(3):
        for col in range(4):
            picture[row * 128 : (row + 1) * 128, col * 128 : (col + 1) * 128] = (60 * row, 60 * col, 200)
    path = tmp_path / "slides" / "s.tif"
    path.parent.mkdir()
    write_pyramid(path, picture, mpp=0.5)
    with open_slide(path) as opened:
        known = SlideDescription(file="s.tif", path=str(path), fingerprint=opened.fingerprint)
    slide = slide_maker("s", np.zeros((18, 3, 4)), np.ones((3, 4), bool))
    return replace(slide, slide=known)


def test_cells_come_from_the_slide_file(placed: CompressedSlide) -> None:
    picture = slide_picture(placed, None)
    assert picture.file is not None and picture.note == ""
    shown = cell_pictures(picture, placed, [(2, 3), (0, 1)])
    assert shown[0].shape == (128, 128, 3)
    assert np.abs(shown[0].mean(axis=(0, 1)) - (120, 180, 200)).max() < 8
    assert np.abs(shown[1].mean(axis=(0, 1)) - (0, 60, 200)).max() < 8


def test_a_slide_that_moved_is_found_and_one_that_changed_is_not(
    placed: CompressedSlide, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    (tmp_path / "slides").rename(moved)
    assert "is not there" in slide_picture(placed, None).note
    assert slide_picture(placed, None, moved).file == moved / "s.tif"
    write_pyramid(moved / "s.tif", np.full((3 * 128, 4 * 128, 3), 9, np.uint8), mpp=0.5)
    assert "is not the file that was compressed" in slide_picture(placed, None, moved).note
    (moved / "s.tif").write_bytes(b"no slide")
    assert "cannot be read" in slide_picture(placed, None, moved).note


def test_of_equal_names_the_file_in_the_same_folder_is_found(placed: CompressedSlide, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    (moved / "slides").mkdir(parents=True)
    (tmp_path / "slides" / "s.tif").rename(moved / "slides" / "s.tif")
    write_pyramid(moved / "s.tif", np.full((3 * 128, 4 * 128, 3), 9, np.uint8), mpp=0.5)
    assert slide_picture(placed, None, moved).file == moved / "slides" / "s.tif"


def test_a_slide_at_a_url_is_shown_from_there(placed: CompressedSlide, tmp_path: Path) -> None:
    with serving(tmp_path / "slides") as server:
        url = f"{server.url}/s.tif"
        remote = replace(placed, slide=placed.slide.model_copy(update={"path": url}))
        picture = slide_picture(remote, None)
        assert picture.file == Url(url) and picture.note == ""
        server.status = 403
        assert "cannot be read" in slide_picture(remote, None).note
    assert slide_picture(remote, None, tmp_path / "slides").file == tmp_path / "slides" / "s.tif"


def test_the_thumbnail_stands_in_and_it_is_said(placed: CompressedSlide, tmp_path: Path) -> None:
    with open_slide(tmp_path / "slides" / "s.tif") as opened:
        Image.fromarray(opened.read((0, 0), (64, 48), 4.0)).save(tmp_path / "t.png")
    (tmp_path / "slides" / "s.tif").unlink()
    picture = slide_picture(placed, tmp_path / "t.png")
    assert picture.file is None and picture.note.endswith("shown from the thumbnail")
    (shown,) = cell_pictures(picture, placed, [(2, 3)])
    assert np.abs(shown[32:-32, 32:-32].mean(axis=(0, 1)) - (120, 180, 200)).max() < 12
    (tmp_path / "t.png").write_bytes(b"")
    blank = slide_picture(placed, tmp_path / "t.png")
    assert "nor can its thumbnail" in blank.note and (blank.whole == 255).all()
    assert len(cell_pictures(blank, placed, [(0, 0)])) == 1


def test_colours_lie_on_their_cells(placed: CompressedSlide, tmp_path: Path) -> None:
    values = np.full((3, 4), np.nan, np.float32)
    values[0, 1], values[2, 2], values[1, 1] = 1.0, -1.0, 0.0
    cells = CellMap("s", values, placed.grid, "evidence")
    painted = paint_overlay(np.full((30, 40, 3), 128, np.uint8), cells, signed=True).astype(int)
    red, blue = painted[5, 15], painted[25, 25]
    assert red[0] > red[2] + 40 and blue[2] > blue[0] + 40
    assert painted[5, 5].tolist() == [128, 128, 128]
    assert np.ptp(painted[15, 15]) < 20
    draw_overlay(
        tmp_path / "o.png", slide_picture(placed, None), cells, title="a $b_c", heading="x_$", signed=True,
        lesion=(np.nan_to_num(values) > 0).astype(np.float64),
    )  # fmt: skip
    first = (tmp_path / "o.png").read_bytes()
    draw_overlay(
        tmp_path / "o.png", slide_picture(placed, None), cells, title="a $b_c", heading="x_$", signed=True,
        lesion=(np.nan_to_num(values) > 0).astype(np.float64),
    )  # fmt: skip
    assert (tmp_path / "o.png").read_bytes() == first


@pytest.mark.parametrize("stride", [48, 128, 200])
def test_colours_lie_on_the_middles_of_tiles_that_overlap_or_stand_apart(stride: int) -> None:
    """A picture pixel has the colour of the cell whose tile's middle is nearest, in both directions."""
    grid = TileGrid.over((1600, 1200), slide_mpp=0.5, tile_px=128, mpp=0.5, stride_px=stride)
    values = np.full(grid.shape, np.nan, np.float32)
    row, col = 2, 3
    values[row, col] = 1.0
    painted = paint_overlay(
        np.full((300, 400, 3), 128, np.uint8), CellMap("s", values, grid, ""), signed=True
    )
    rows, cols = np.nonzero((painted != 128).any(2))
    middle = ((col * stride + 64) / 4, (row * stride + 64) / 4)
    assert abs((cols.min() + cols.max() + 1) / 2 - middle[0]) <= 0.5
    assert abs((rows.min() + rows.max() + 1) / 2 - middle[1]) <= 0.5
    assert abs(cols.max() - cols.min() + 1 - stride / 4) <= 1 and len(rows) == pytest.approx(
        (stride / 4) ** 2, rel=0.1
    )


def test_the_sheet_shows_every_cell_in_its_part(placed: CompressedSlide, tmp_path: Path) -> None:
    """Nine of the highest, in two rows, above two of the lowest; the same bytes again."""
    values = np.arange(12, dtype=np.float32).reshape(3, 4) - 2.5
    places = [(int(row), int(col)) for row, col in np.argwhere(values > -9)]
    tiles = [np.full((64, 64, 3), (20 * k, 200, 0), np.uint8) for k in range(11)]
    for name in ("one.png", "two.png"):
        draw_sheet(
            tmp_path / name, CellMap("s", values, placed.grid, "evidence"), (tiles[:9], tiles[9:]),
            (places[:9], places[9:11]), title="t $", names=("for", "against"),
        )  # fmt: skip
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    shown = np.asarray(Image.open(tmp_path / "one.png").convert("RGB"))
    seen = {}
    for k in range(11):
        rows, cols = np.nonzero((shown == tiles[k][0, 0]).all(axis=2))
        seen[k] = (int(rows.min()), int(cols.min()))
        assert len(rows) > 90 * 90
    tops, lefts = [seen[k][0] for k in range(11)], [seen[k][1] for k in range(11)]
    assert len(set(tops[:8])) == len(set(tops[9:])) == 1 and tops[0] < tops[8] < tops[9]
    assert lefts[:8] == sorted(lefts[:8]) and lefts[8] == lefts[0] == lefts[9] < lefts[10] == lefts[1]


def test_no_cell_is_highest_and_lowest() -> None:
    values = np.array([[3.0, 1.0, np.nan], [2.0, np.nan, np.nan]], np.float32)
    highest, lowest = choose_cells(values, 5)
    assert highest == [(0, 0)] and lowest == [(0, 1)]
    assert choose_cells(np.full((2, 2), np.nan, np.float32), 3) == ([], [])
    # A map that is 0 but for one cell has one cell of high value.
    assert choose_cells(np.array([[0.0, 2.0], [0.0, 0.0]], np.float32), 2)[0] == [(0, 1)]


def test_a_cell_that_speaks_against_is_not_among_those_that_speak_for() -> None:
    values = np.array([[0.5, -0.1, -0.2, -0.3, 0.0, -0.4]], np.float32)
    assert choose_cells(values, 3, signed=True) == ([(0, 0)], [(0, 5), (0, 3), (0, 2)])
