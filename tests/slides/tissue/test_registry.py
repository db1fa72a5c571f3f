"""Another package's finder is used where it is asked for."""

from __future__ import annotations

import importlib.metadata

import numpy as np
import pytest

from histonic.core.errors import SettingsError
from histonic.core.settings import TissueSettings
from histonic.slides.formats.array import ArraySlide
from histonic.slides.tissue import registry
from histonic.slides.tissue.finder import find_tissue
from histonic.slides.tissue.rule import TissueRule


def left_half(pixels: np.ndarray, mpp: float) -> np.ndarray:
    assert pixels.dtype == np.uint8 and mpp > 0
    mask = np.zeros(pixels.shape[:2], bool)
    mask[:, : mask.shape[1] // 2] = True
    return mask


def test_a_finder_of_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    point = importlib.metadata.EntryPoint("left", f"{__name__}:left_half", registry.FINDERS.group)
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: [point] if group == point.group else []
    )
    slide = ArraySlide(np.full((400, 800, 3), 240, np.uint8), mpp=2.0)
    mask = find_tissue(slide, TissueRule.of(TissueSettings(finder="left"))).mask
    assert mask[:, : mask.shape[1] // 2].all() and mask.mean() == pytest.approx(0.5, abs=0.01)
    with pytest.raises(SettingsError, match="There is no tissue finder of that name"):
        find_tissue(slide, TissueRule(finder="rule"))
