"""A slide finds its own cells in the map of all slides of its patient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from histonic.core.compressed import CompressedSlide
from histonic.runs.documents import SlidesOfPatient
from histonic.stages.explain.attribution.model_input import model_input_of

PATIENT = SlidesOfPatient(patient_id="P1", site="", slide_ids=("a", "b", "c"))


@pytest.fixture
def slides(slide_maker: Callable[..., CompressedSlide]) -> dict[str, CompressedSlide]:
    made = {}
    for number, (name, (top, left, rows, cols)) in enumerate(
        {"a": (0, 0, 4, 3), "b": (3, 2, 5, 6), "c": (1, 4, 2, 2)}.items()
    ):
        mask = np.zeros((10, 9), bool)
        mask[top : top + rows, left : left + cols] = True
        codes = np.arange(90.0).reshape(1, 10, 9) + 100 * number
        made[name] = slide_maker(name, np.repeat(codes, 4, axis=0) * mask, mask)
    return made


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_a_slide_finds_its_cells_in_the_joined_map(slides: dict[str, CompressedSlide], name: str) -> None:
    model_input = model_input_of(slides[name], PATIENT, "early", slides.__getitem__)
    assert model_input.is_joined
    mask = model_input.maps.mask(model_input.name)
    assert mask.size < sum(each.mask.size for each in slides.values())
    joined = model_input.maps._slides[model_input.name].features[0].astype(float)
    assert np.array_equal(model_input.on_slide(mask), slides[name].mask)
    own = np.where(slides[name].mask, np.asarray(slides[name].features[0], float), np.nan)
    assert np.array_equal(model_input.on_slide(np.where(mask, joined, np.nan)), own, equal_nan=True)


def test_a_slide_by_itself_is_its_own_map(slides: dict[str, CompressedSlide]) -> None:
    for patient, fusion in ((PATIENT, "late"), (None, "early")):
        model_input = model_input_of(slides["b"], patient, fusion, slides.__getitem__)
        assert not model_input.is_joined and model_input.name == "b"
        values = np.random.default_rng(0).normal(size=(10, 9))
        assert np.array_equal(model_input.on_slide(values), values)
