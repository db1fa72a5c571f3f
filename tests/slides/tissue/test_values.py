"""Values of mask pictures: told by themselves where there is no doubt, chosen, or refused."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from histonic.core.errors import MaskError
from histonic.slides.tissue.values import tissue_by_index, tissue_by_value, value_counts

ASKED = "Read the mask."
GREYS = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)


@pytest.fixture(scope="module")
def drawn() -> Image.Image:
    """Two pieces in white on black."""
    picture = Image.new("L", (400, 200))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((50, 25, 250, 175), fill=255)
    pen.polygon([(300, 15), (390, 100), (325, 190)], fill=255)
    return picture


def grandqc() -> npt.NDArray[np.uint8]:
    """A quarter tissue, a little fold, pen and blur, the rest background; as GrandQC numbers them."""
    values = np.full((20, 40), 7, np.uint8)
    values[:10, :20] = 1
    values[0, :4], values[12, 30:34], values[14, 20:25] = 2, 4, 6
    return values


def taken(pixels: npt.NDArray[Any], *chosen: str) -> npt.NDArray[np.bool_]:
    return tissue_by_value(pixels, chosen, ASKED)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.uint16, np.int32, np.float32])
def test_nought_and_one_other_value(kind: type) -> None:
    pixels = np.array([[0, 1, 1], [0, 0, 1]])
    for value in (1,) if kind is bool else (1, 7, 200):
        assert (taken((pixels * value).astype(kind)) == (pixels > 0)).all()


@pytest.mark.parametrize(("value", "share"), [(0, 0), (1, 1), (255, 1), (65_535, 1)])
def test_one_value_throughout(value: int, share: float) -> None:
    assert taken(np.full((4, 5), value, np.uint16)).mean() == share


def test_artefacts_and_background_are_no_tissue_without_a_word() -> None:
    with pytest.raises(MaskError) as caught:
        taken(grandqc())
    found = r"1 (24.5 %), 2 (0.5 %), 4 (0.5 %), 6 (0.625 %), 7 (73.9 %)"
    assert found in caught.value.found and "--mask-values 1" in caught.value.todo
    assert taken(grandqc(), "1").sum() == 196 and taken(grandqc(), "1", "2-6").sum() == 209


@pytest.mark.parametrize(
    "pixels",
    [
        np.array([[1, 7], [7, 7]], np.uint8),  # all of it would be tissue
        np.full((3, 3), 7, np.uint8),
        np.repeat(np.array([[0, 1, 255]], np.uint8), 9, axis=0).repeat(9, axis=1),
        np.repeat(np.array([[0, 128, 255]], np.uint8), 9, axis=0).repeat(9, axis=1),
        np.array([[-1, 1]], np.int16),
        np.arange(40, dtype=np.uint8).reshape(5, 8).repeat(9, axis=0).repeat(9, axis=1),
    ],
    ids=["two-classes", "one-class", "ignored-255", "three-classes", "negative", "instances"],
)
def test_what_is_tissue_is_not_guessed(pixels: npt.NDArray[Any]) -> None:
    with pytest.raises(MaskError, match=r"cannot be told|8 bits"):
        taken(pixels)


def test_a_photograph_is_no_mask() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80), np.uint8)
    with pytest.raises(MaskError, match=r"and 248 more"):
        taken(noise)


@pytest.mark.parametrize("way", ["bilinear", "bicubic", "lanczos", "box", "up", "jpeg90", "jpeg30", "float"])
def test_two_values_with_soft_edges_are_cut_in_the_middle(drawn: Image.Image, way: str) -> None:
    soft = drawn
    if way.startswith("jpeg"):
        data = io.BytesIO()
        drawn.save(data, "JPEG", quality=int(way[4:]))
        soft = Image.open(data)
    elif way == "up":
        soft = drawn.resize((1200, 600), Image.Resampling.BICUBIC)
    else:
        filters = {"float": "BILINEAR"}
        soft = drawn.resize((130, 65), Image.Resampling[filters.get(way, way.upper())])
    pixels = np.asarray(soft)
    assert len(value_counts(pixels)) > 10
    truth = np.asarray(drawn.resize(soft.size, Image.Resampling.BOX)) > 127
    found = taken(pixels.astype(np.float32) / 255 if way == "float" else pixels)
    assert (found == truth).mean() > 0.99 and abs(found.mean() - truth.mean()) < 0.003
    if way != "float":
        assert (taken(pixels, "255") == found).all() and (taken(pixels, "0") == ~found).all()


def test_a_choice_that_is_not_there_names_what_is() -> None:
    with pytest.raises(MaskError, match=r"none of the values 3; it has 1 \(24\.5 %\)") as caught:
        taken(grandqc(), "3")
    assert "--mask-values" in caught.value.todo


def test_numbers_in_one_channel_of_a_colour_picture() -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[0, :, 0] = (0, 1, 5)
    with pytest.raises(MaskError, match="cannot be told"):
        taken(pixels)
    assert taken(pixels, "5").tolist() == [[False, False, True], [False] * 3]


def test_one_hue_is_a_mask_and_several_are_none() -> None:
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[5:15, :10] = (250, 120, 10)
    assert (taken(pixels) == (pixels[..., 0] > 0)).all()
    pixels[5:15, 15:25] = (10, 120, 250)
    with pytest.raises(MaskError, match=r"several colours.*\(10, 120, 250\) and \(250, 120, 10\)"):
        taken(pixels, "250")


def test_red_on_white_is_not_tissue_throughout() -> None:
    pixels = np.full((20, 30, 3), 255, np.uint8)
    pixels[5:15, :10] = (255, 0, 0)
    with pytest.raises(MaskError, match="several colours"):
        taken(pixels)


def test_places_in_a_palette_are_the_numbers(drawn: Image.Image) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (256, 3), np.uint8)
    assert tissue_by_index(grandqc(), colours, ["1"], ASKED).sum() == 196
    with pytest.raises(MaskError, match=r"1 \(24\.5 %\)"):
        tissue_by_index(grandqc(), colours, [], ASKED)
    mask = np.asarray(drawn) > 0
    assert (tissue_by_index(mask.astype(np.uint8), colours, [], ASKED) == mask).all()


def test_a_palette_that_turns_black_and_white_round_is_asked_about() -> None:
    pixels = np.array([[0, 1, 0]], np.uint8)
    with pytest.raises(MaskError, match="0 is shown light and 1 dark"):
        tissue_by_index(pixels, GREYS[::-1], [], ASKED)
    assert tissue_by_index(pixels, GREYS[::-1], ["0"], ASKED).tolist() == [[True, False, True]]
    assert tissue_by_index(pixels, GREYS, [], ASKED).tolist() == [[False, True, False]]


def test_soft_edges_in_a_grey_palette_in_any_order(drawn: Image.Image) -> None:
    soft = drawn.resize((130, 65), Image.Resampling.BILINEAR).quantize(32)
    palette = np.array(soft.getpalette("RGB"), np.uint8).reshape(-1, 3)
    truth = np.asarray(drawn.resize((130, 65), Image.Resampling.BOX)) > 127
    assert (tissue_by_index(np.asarray(soft), palette, [], ASKED) == truth).mean() > 0.98


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.sets(st.integers(0, 9), min_size=1))
def test_chosen_values_are_taken_and_no_other(values: list[int], chosen: set[int]) -> None:
    pixels = np.array([values], np.uint8)
    if not chosen & set(values):
        with pytest.raises(MaskError):
            taken(pixels, *map(str, chosen))
    else:
        assert taken(pixels, *map(str, chosen)).tolist() == [[value in chosen for value in values]]
