from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from histonic.core.errors import SettingsError
from histonic.core.places.images import HeldSlide
from histonic.core.places.urls import GivenSlides, Url
from histonic.core.settings import Settings, make_settings
from histonic.slides.formats.array import ArraySlide

IMAGE = np.full((8, 12, 3), 200, np.uint8)


class Reading(Settings):
    slides: GivenSlides = ()


def given(slides: object) -> tuple[object, ...]:
    return make_settings(Reading, {"slides": slides}).slides


def test_one_slide_is_a_list_of_one() -> None:
    assert given("a.svs") == (Path("a.svs"),)
    assert given(["a.svs", "https://x.org/b.svs"]) == (Path("a.svs"), Url("https://x.org/b.svs"))
    (image,) = given(IMAGE)
    assert isinstance(image, HeldSlide) and image.given is IMAGE and image.mpp is None
    (pair,) = given((IMAGE, 0.5))
    assert isinstance(pair, HeldSlide) and pair.mpp == 0.5


def test_an_image_of_pillow_is_its_pixels() -> None:
    picture = Image.fromarray(IMAGE)
    for slides in (picture, (picture, 0.5), {"a": (picture, 0.5)}):
        (held,) = given(slides)
        assert isinstance(held, HeldSlide) and np.array_equal(held.given, IMAGE)
    (grey,) = given(picture.convert("L"))
    assert grey.given.shape == (8, 12)  # refused where it is opened
    with pytest.raises(SettingsError, match="convert"):
        ArraySlide(grey.given, 0.5, "a")


def test_damaged_and_closed_images_of_pillow_are_told_what_to_do(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = tmp_path / "whole.jpg"
    Image.fromarray(noise).save(whole)
    short = tmp_path / "truncated.jpg"
    short.write_bytes(whole.read_bytes()[:-1500])
    closed = Image.open(whole)
    closed.close()
    for picture, name, found in ((Image.open(short), "truncated.jpg", "OSError"), (closed, "whole.jpg", "")):
        for slides in (picture, [(picture, 0.5)], {"a": (picture, 0.5)}):
            with pytest.raises(SettingsError, match=f"{name}' cannot be had .{found}") as caught:
                given(slides)
            assert "copy its file again" in caught.value.found and "slides" in caught.value.todo


def test_the_pixels_of_an_image_of_pillow_are_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    real = Image.Image.tobytes
    monkeypatch.setattr(Image.Image, "tobytes", lambda *a, **b: taken.append(1) or real(*a, **b))
    (held,) = given(Image.fromarray(IMAGE))
    assert np.array_equal(held.given, IMAGE) and len(taken) == 1


def test_a_column_of_paths_is_a_list_of_them() -> None:
    paths = ["a.svs", Path("b.tif")]
    for column in (
        pd.Series(paths, index=["x", "y"]),
        pd.Index(paths, dtype=object),
        np.array(paths, object),
    ):
        assert given(column) == (Path("a.svs"), Path("b.tif"))
    with pytest.raises(SettingsError, match="slides"):
        given(np.zeros(3, np.uint8))


def test_names_come_with_a_mapping_else_from_the_pixels() -> None:
    named = given({"a": (IMAGE, 0.25), "b": ArraySlide(IMAGE, 0.5)})
    assert [(each.name, each.mpp, each.is_named) for each in named] == [("a", 0.25, True), ("b", None, True)]
    one, other = HeldSlide(IMAGE), HeldSlide(IMAGE[::-1].copy() + 1)
    assert one.name == HeldSlide(IMAGE.copy()).name != other.name
    assert HeldSlide(ArraySlide(IMAGE, 0.5, "field 3")).name == "field 3"


def test_a_mapping_holds_no_paths() -> None:
    with pytest.raises(SettingsError, match="'a' names no opened slide"):
        given({"a": "a.svs"})


@pytest.mark.parametrize(("name", "other"), [("a/b", "a_b"), ("/data/a.svs", "_data_a.svs"), ("a\\b", "a_b")])
def test_a_name_with_a_slash_is_refused(name: str, other: str) -> None:
    with pytest.raises(SettingsError) as raised:
        given({"x": IMAGE, name: IMAGE})
    assert f"the name {name!r} holds a slash" in str(raised.value) and repr(other) in str(raised.value)


def test_a_view_has_its_own_resolution() -> None:
    slide = ArraySlide(IMAGE, name="field")
    view = HeldSlide(slide, name="a").opened(None, 0.5)
    assert (view.name, view.mpp, view.mpp_source) == ("a", 0.5, "given")
    assert not slide.has_mpp and slide.name == "field"
    assert HeldSlide(ArraySlide(IMAGE, 0.25)).opened(None, 0.5).mpp == 0.25
    assert HeldSlide(ArraySlide(IMAGE, 0.25)).opened(1.0, 0.5).mpp == 1.0


def test_a_resolution_as_text_is_refused() -> None:
    with pytest.raises(SettingsError, match="no number but str"):
        make_settings(Reading, {"slides": {"a": (np.zeros((8, 8, 3), np.uint8), "0.5")}})
