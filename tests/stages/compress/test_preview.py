"""Previews show the tissue that a compression would use, with its scale, and are written all or nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histonic.core.errors import OutputError
from histonic.data.maps.shares import tissue_outliers
from histonic.data.tables.slide_lists import SlideRow
from histonic.encoders.base import load_encoder
from histonic.slides.formats.pyramid import write_pyramid
from histonic.slides.thumbnail import OUTLINE, TISSUE_OUTLINE
from histonic.stages.compress.inspection import Inspected, inspect_slide
from histonic.stages.compress.preview import GAP, PANEL_PX, Panel, write_preview, write_sheet
from histonic.stages.compress.settings import CompressSettings


def look(folder: Path, name: str = "a", mask: np.ndarray | None = None, **settings: object) -> Inspected:
    """A slide of 1024 x 512 px at 0.5 µm/px whose left half is tissue."""
    pixels = np.full((512, 1024, 3), 243, np.uint8)
    pixels[:, :512] = (195, 120, 175)
    write_pyramid(folder / f"{name}.tif", pixels, mpp=0.5)
    path = None
    if mask is not None:
        path = folder / f"{name}-mask.png"
        Image.fromarray(mask.astype(np.uint8) * 255).save(path)
    row = SlideRow(name, folder / f"{name}.tif", mask=path)
    return inspect_slide(row, CompressSettings(out=folder, **settings), load_encoder("colour").spec)


def coloured(path: Path, colour: tuple[int, int, int]) -> np.ndarray:
    """Rows and columns of the slide's picture that have a colour."""
    with Image.open(path) as opened:
        picture = np.asarray(opened.convert("RGB"))[GAP : GAP + 512, GAP : GAP + 1024]
    return np.argwhere((picture == colour).all(axis=2))


def extent(places: np.ndarray) -> tuple[int, ...]:
    return (*places.min(axis=0), *places.max(axis=0))


def test_outlines_are_those_of_the_tissue_that_is_used(tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    found = look(tmp_path)
    assert found.share.of_area == pytest.approx(0.5, abs=0.02) and found.share.cells == 16
    write_preview(out, found)
    assert extent(coloured(out, TISSUE_OUTLINE)) == pytest.approx((0, 0, 511, 511), abs=16)
    # A mask from outside: the lower right quarter.
    mask = np.zeros((32, 64), bool)
    mask[16:, 32:] = True
    masked = look(tmp_path, mask=mask)
    assert (masked.share.of_area, masked.share.tissue_from) == (0.25, "mask")
    write_preview(out, masked)
    assert extent(coloured(out, TISSUE_OUTLINE)) == (256, 512, 511, 1023)
    kept = coloured(out, OUTLINE)
    assert kept.min(axis=0).tolist() == [257, 513]  # the orange line lies on the blue one
    everything = look(tmp_path, tissue={"source": "all"})
    assert (everything.share.of_area, everything.share.tissue_from) == (1.0, "all")
    write_preview(out, everything)
    assert extent(coloured(out, TISSUE_OUTLINE)) == (0, 0, 511, 1023)


def test_cells_follow_the_least_share(tmp_path: Path) -> None:
    mask = np.zeros((32, 64), bool)
    mask[:, :12] = True  # a whole column of cells, and half of the next
    cells = {least: look(tmp_path, mask=mask, tissue={"min_cell_share": least}).mask for least in (0.4, 0.6)}
    assert cells[0.4].sum(axis=1).tolist() == [2] * 4 and cells[0.6].sum(axis=1).tolist() == [1] * 4


def test_the_scale_bar_is_as_long_as_it_says(tmp_path: Path) -> None:
    write_preview(tmp_path / "out.png", look(tmp_path))
    with Image.open(tmp_path / "out.png") as opened:
        picture = np.asarray(opened.convert("RGB"))
    below = picture[512 + 2 * GAP + 10]  # the middle of the bar: 100 µm are 200 px, and 512 µm are the slide
    assert int((below[: GAP + 300] == 30).all(axis=1)[: GAP + 205].sum()) == 201


def test_a_slide_without_tissue_is_drawn_and_said_to_have_none(tmp_path: Path) -> None:
    empty = look(tmp_path, mask=np.zeros((32, 64), bool))
    assert not empty.mask.any()
    write_preview(tmp_path / "out.png", empty)
    assert not len(coloured(tmp_path / "out.png", TISSUE_OUTLINE))
    assert Panel.of(empty).words == "0.5 µm/px, tissue 0 % of the slide (0 cells): no cell is kept"


def test_slides_that_stand_out_come_first_on_a_sheet(tmp_path: Path) -> None:
    nothing = np.zeros((32, 64), bool)
    looked = [look(tmp_path, name, mask=nothing if name == "c" else None) for name in "abc"]
    panels = [Panel.of(each) for each in looked]
    assert max(panels[0].picture.shape) == PANEL_PX
    write_sheet(tmp_path / "s.png", panels, tissue_outliers([each.share for each in looked]))
    with Image.open(tmp_path / "s.png") as opened:
        sheet = np.asarray(opened.convert("RGB"))
    blue = [
        int((sheet[:, left : left + PANEL_PX] == OUTLINE).all(axis=2).sum())
        for left in (GAP, 2 * GAP + PANEL_PX, 3 * GAP + 2 * PANEL_PX)
    ]
    assert blue[0] == 0 and min(blue[1:]) > 300


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="folder is needed"):
        write_preview(tmp_path / "file" / "out.png", look(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "file"]
