from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from histonic.slides.base import open_slide
from histonic.slides.formats.array import ArraySlide
from histonic.slides.formats.pyramid import write_pyramid


def test_a_slide_tells_its_facts_and_shows_itself(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a<b.tif", np.full((600, 800, 3), (200, 120, 180), np.uint8), mpp=0.5)
    with open_slide(tmp_path / "a<b.tif") as slide:
        assert repr(slide).startswith("Slide 'a<b' (size: 800 x 600 px, stored sizes: 800 x 600, ")
        assert "mpp: 0.5 (header: TIFF resolution), reader: tiff" in repr(slide)
        html = slide._repr_html_()
        assert "data:image/jpeg;base64," in html and "<b" not in html.replace("<b>", "")
        picture = slide.thumbnail(200)
        assert picture.shape == (150, 200, 3)
        assert np.abs(picture.reshape(-1, 3).mean(0) - (200, 120, 180)).max() < 3


def test_a_slide_without_mpp_has_a_thumbnail_and_says_what_is_missing() -> None:
    slide = ArraySlide(np.zeros((300, 600, 3), np.uint8))
    assert slide.thumbnail(300).shape == (150, 300, 3)
    assert "mpp: not known: open_slide(path, mpp=...)" in repr(slide)
    assert not slide.has_mpp


def test_no_picture_where_it_would_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("histonic.slides.shown.QUICK_PIXELS", 100)
    html = ArraySlide(np.zeros((300, 600, 3), np.uint8))._repr_html_()
    assert "<table>" in html and "base64" not in html
