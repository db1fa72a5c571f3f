"""Which cells an annotation calls lesion."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from histonic.core.compressed import CompressedSlide
from histonic.core.errors import MaskError
from histonic.stages.explain.lesion import find_lesions, lesion_shares


def write(path: Path, *classes: str) -> Path:
    features = [
        {
            "type": "Feature",
            "properties": {"classification": {"name": name}} if name else {},
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[k * 128, 0], [k * 128 + 64, 0], [k * 128 + 64, 128], [k * 128, 128]]],
            },
        }
        for k, name in enumerate(classes)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_all_classes_or_the_named_ones(slide_maker: Callable[..., CompressedSlide], tmp_path: Path) -> None:
    slide = slide_maker("s", np.zeros((18, 1, 3)), np.ones((1, 3), bool))
    file = write(tmp_path / "s.geojson", "tumour", "necrosis", "")
    assert lesion_shares(file, slide)[0].round(3).tolist() == [[0.5, 0.5, 0.5]]
    assert lesion_shares(file, slide, ["Tumour"])[0].round(3).tolist() == [[0.5, 0.0, 0.5]]
    assert find_lesions(tmp_path, ["s", "t"]) == {"s": file} and find_lesions(None, ["s"]) == {}


def test_a_class_called_lesion_is_one_like_others(
    slide_maker: Callable[..., CompressedSlide], tmp_path: Path
) -> None:
    slide = slide_maker("s", np.zeros((18, 1, 3)), np.ones((1, 3), bool))
    file = write(tmp_path / "s.geojson", "lesion", "necrosis")
    shares, other = lesion_shares(file, slide, ["necrosis"])
    assert shares.round(3).tolist() == [[0.0, 0.5, 0.0]] and other == []
    shares, other = lesion_shares(file, slide, ["tumuor"])
    assert not shares.any() and other == ["lesion", "necrosis"]


def test_an_empty_annotation_says_that_there_is_none(
    slide_maker: Callable[..., CompressedSlide], tmp_path: Path
) -> None:
    slide = slide_maker("s", np.zeros((18, 1, 3)), np.ones((1, 3), bool))
    assert not lesion_shares(write(tmp_path / "s.geojson"), slide)[0].any()
    (tmp_path / "t.geojson").write_text("no json")
    with pytest.raises(MaskError):
        lesion_shares(tmp_path / "t.geojson", slide)
