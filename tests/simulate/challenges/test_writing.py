"""Miniatures: equal for equal seeds, and readable as slides with the resolution that they state."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from histonic.core.errors import SettingsError
from histonic.simulate.challenges.images import SIDE_PX, subject, tissue, write_svs
from histonic.simulate.challenges.tiles import write_patchcamelyon
from histonic.simulate.challenges.whole_slides import drawn_box
from histonic.simulate.challenges.writing import simulate_challenge
from histonic.slides.base import open_slide


def test_an_svs_says_its_resolution_as_aperio_does(tmp_path: Path) -> None:
    write_svs(tmp_path / "TUPAC-TR-001.svs", subject(0, 1))
    with open_slide(tmp_path / "TUPAC-TR-001.svs") as slide:
        assert slide.mpp == pytest.approx(0.5) and tuple(slide.size_wh) == (SIDE_PX, SIDE_PX)


def test_the_same_seed_draws_the_same(tmp_path: Path) -> None:
    one, other, third = (tissue(subject(seed, 5), (300, 200)) for seed in (3, 3, 4))
    assert one.shape == (200, 300, 3)
    assert np.array_equal(one, other) and not np.array_equal(one, third)


def test_patchcamelyon_is_as_the_organisers_store_it(tmp_path: Path) -> None:
    write_patchcamelyon(tmp_path)
    with h5py.File(tmp_path / "camelyonpatch_level_2_split_valid_x.h5") as file:
        assert file["x"].shape == (16, 96, 96, 3) and file["x"].dtype == np.uint8
    with h5py.File(tmp_path / "camelyonpatch_level_2_split_valid_y.h5") as file:
        assert file["y"].shape == (16, 1, 1, 1)


def test_a_drawn_box_is_asaps(tmp_path: Path) -> None:
    from histonic.data.annotations.asap import read_asap

    (tmp_path / "a.xml").write_text(drawn_box(10, 20, 110, 70, "_0"))
    (region,) = read_asap(tmp_path / "a.xml", "test").regions
    assert region.label == "_0" and region.rings[0].tolist() == [[10, 20], [110, 20], [110, 70], [10, 70]]


def test_strange_names_and_full_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="'camelyon17'"):
        simulate_challenge("camelyon18", tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("mine")
    with pytest.raises(SettingsError, match="holds files"):
        simulate_challenge("bach", tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
