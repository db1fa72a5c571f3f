"""The page that a user can send: whole in one file, and no name on it if so asked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histonic.slides.formats.pyramid import write_pyramid
from histonic.testing.slides import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("Jane Roe")
    write_pyramid(place / "roe_1.tif", np.full((600, 800, 3), (200, 120, 180), np.uint8), mpp=0.5)
    (place / "roe_2.svs").write_bytes(b"no slide")
    return place


def test_the_page_is_whole(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), "--out", str(tmp_path / "page.html")]) == 1
    said = capsys.readouterr().out
    assert "roe_1.tif: same" in said and "roe_2.svs: neither" in said
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<section>") == 2 and page.count("data:image/jpeg;base64,") == 2
    assert not re.search(r"(src|href)=\"(?!data:)", page) and "http" not in page
    values = json.loads(re.search(r'id="comparisons">(.*?)</script>', page).group(1))
    assert [each["verdict"] for each in values] == ["same", "neither"]
    assert main([str(folder / "roe_1.tif"), "--out", str(tmp_path / "page.html")]) == 0


def test_no_name_and_no_picture_where_none_is_wanted(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    main([str(folder), str(folder / "roe_3.svs"), "--out", str(out), "--hash-names", "--no-pictures"])
    page = out.read_text(encoding="utf-8")
    assert "roe" not in page.lower() and "data:image" not in page
    assert page.count("<section>") == 3


def test_names_are_no_html(tmp_path: Path) -> None:
    Image.new("RGB", (300, 300), (200, 120, 180)).save(tmp_path / "<b>&.png")
    main([str(tmp_path / "<b>&.png"), "--out", str(tmp_path / "page.html"), "--mpp", "0.5"])
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<b>" not in page and "&lt;b&gt;&amp;.png" in page


def test_a_page_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert main([str(folder / "roe_1.tif"), "--out", str(tmp_path / "file" / "page.html")]) == 2
