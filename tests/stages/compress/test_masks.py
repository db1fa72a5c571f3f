"""Masks from outside beside the rule of the tissue: taken, needed, refused, chosen from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histonic.core.errors import SettingsError, StoreError
from histonic.data.maps.store import Store
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress.compress import CompressResult, compress


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """Two slides of 4 x 4 cells; a mask of one as of GrandQC: a row tissue, a row fold, the rest glass."""
    noise = np.random.default_rng(0).integers(-30, 30, (512, 512, 1))
    for name in "ab":
        pixels = (np.array([190, 110, 170]) + noise).astype(np.uint8)
        write_pyramid(tmp_path / "slides" / f"{name}.tif", pixels, mpp=0.5)
    values = np.full((40, 40), 7, np.uint8)
    values[:10], values[10:20] = 1, 2
    (tmp_path / "masks").mkdir()
    Image.fromarray(values).save(tmp_path / "masks" / "a.png")
    return tmp_path


def ran(folder: Path, out: str = "store", **values: object) -> CompressResult:
    given = {"slides": [folder / "slides"], "encoder": "mean-rgb", "out": folder / out}
    return compress(**{**given, **values})


def cells(folder: Path, out: str = "store") -> list[int]:
    """Kept cells of each row of the map of slide a."""
    kept: list[int] = Store.open(folder / out).map("a").mask.sum(1).tolist()
    return kept


def test_every_slide_needs_a_mask_where_masks_say_it(slides: Path) -> None:
    result = ran(slides, masks=slides / "masks", tissue="masks", mask={"values": "1"})
    assert result.done == ["a"] and cells(slides) == [4, 0, 0, 0]
    reason = result.failures[0].reason
    assert result.failures[0].slide_id == "b" and "--tissue masks needs one" in reason
    assert f"{slides / 'masks'} holds no b with the ending .png" in reason
    (slides / "slides.csv").write_text("path,mask\nslides/a.tif,masks/a.png\nslides/b.tif,\n")
    told = ran(slides, "told", slides=[slides / "slides.csv"], tissue="masks", mask={"values": [1, 2]})
    assert told.done == ["a"] and cells(slides, "told") == [4, 4, 0, 0]
    assert "no slide table names one in its column mask" in told.failures[0].reason


def test_a_slide_without_mask_is_looked_at_by_default(slides: Path) -> None:
    result = ran(slides, masks=slides / "masks", mask={"values": "1"})
    assert result.done == ["a", "b"] and cells(slides) == [4, 0, 0, 0]


def test_a_mask_of_many_values_fails_without_a_choice(slides: Path) -> None:
    result = ran(slides, masks=slides / "masks")
    assert result.done == ["b"]
    assert "1 (25 %), 2 (25 %), 7 (50 %)" in result.failures[0].reason
    assert "--mask-values" in result.failures[0].reason


def test_all_beside_masks_is_refused(slides: Path) -> None:
    (slides / "slides.csv").write_text("path,mask\nslides/b.tif,\nslides/a.tif,masks/a.png\n")
    (slides / "none").mkdir()
    for given in (
        {"masks": slides / "masks"},
        {"slides": [slides / "slides.csv"]},
        {"masks": slides / "none"},
    ):
        with pytest.raises(SettingsError, match="--tissue all"):
            ran(slides, tissue="all", **given)
    assert ran(slides, tissue="all").done == ["a", "b"] and cells(slides) == [4, 4, 4, 4]


def test_masks_that_belong_to_no_slide_are_not_passed_over(slides: Path) -> None:
    with pytest.raises(SettingsError, match="no such folder"):
        ran(slides, masks=slides / "mask")
    with pytest.raises(SettingsError, match="That is a file"):
        ran(slides, masks=slides / "masks" / "a.png")
    (slides / "masks" / "a.png").rename(slides / "masks" / "a_MASK.png")
    with pytest.raises(SettingsError, match=r"no mask of any slide.*holds no a with the ending \.png"):
        ran(slides, masks=slides / "masks")
    with pytest.raises(SettingsError, match="No slide has a mask"):
        ran(slides, mask={"values": "1"})


def test_the_choice_makes_a_store_one_store(slides: Path) -> None:
    given = {"masks": slides / "masks", "tissue": "masks"}
    assert ran(slides, **given, mask={"values": "1,2"}).done == ["a"]
    assert ran(slides, **given, mask={"values": ["2", "1"]}).skipped == ["a"]
    hashed = Store.open(slides / "store").map("a").slide.mask
    with pytest.raises(StoreError, match="mask"):
        ran(slides, **given, mask={"values": "1"})
    assert ran(slides, "other", **given, mask={"values": "1"}).done == ["a"]
    assert Store.open(slides / "other").map("a").slide.mask == hashed


def test_private_failures_name_no_folder_of_masks(slides: Path) -> None:
    (slides / "slides.csv").write_text("path,slide_id\nslides/a.tif,one\nslides/b.tif,two\n")
    (slides / "masks" / "a.png").rename(slides / "masks" / "one.png")
    given = {"slides": [slides / "slides.csv"], "masks": slides / "masks", "tissue": "masks", "private": True}
    result = ran(slides, **given, mask={"values": "1"})
    assert result.done == ["one"] and str(slides) not in result.failures[0].reason


def test_any_tissue_at_all_keeps_a_cell(slides: Path) -> None:
    values = np.zeros((512, 512), np.uint8)
    values[127, 5] = values[300, 400] = 255
    Image.fromarray(values).save(slides / "masks" / "a.png")
    given = {"slides": [slides / "slides" / "a.tif"], "masks": slides / "masks"}
    assert not ran(slides, **given).done
    assert ran(slides, "any", **given, tissue={"min_cell_share": 0}).done == ["a"]
    assert cells(slides, "any") == [1, 0, 1, 0]
