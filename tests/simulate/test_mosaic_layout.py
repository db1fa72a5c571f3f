"""Layout of a mosaic: exact shares, one piece of tissue, outlines that cover their cells and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from histonic.simulate.mosaic_layout import Pattern, draw_outline, place_lesion


@pytest.mark.parametrize("seed", range(5))
def test_tissue_is_one_piece_with_glass_around_it(seed: int) -> None:
    outline = draw_outline(16, np.random.default_rng(seed))
    assert ndimage.label(outline.inside)[1] == 1
    for border in (outline.inside[0], outline.inside[-1], outline.inside[:, 0], outline.inside[:, -1]):
        assert not border.any()
    assert 0.45 < outline.inside.mean() < 0.68 and 0.4 < outline.cells.mean() < 0.7


@given(
    st.sampled_from(["blob", "patches", "core", "rim"]), st.floats(0, 1), st.integers(0, 50), st.booleans()
)
def test_the_lesion_has_exactly_its_share_of_the_tissue(
    pattern: Pattern, share: float, seed: int, whole: bool
) -> None:
    rng = np.random.default_rng(seed)
    tissue = np.ones((9, 9), bool) if whole else draw_outline(9, rng).cells
    lesion = place_lesion(tissue, pattern, share, rng)
    assert not (lesion & ~tissue).any()
    # The outermost cells and the others are rounded one by one, the second making up for the first.
    assert abs(int(lesion.sum()) - share * tissue.sum()) <= 0.5 + 1e-9


def test_core_and_rim_differ_in_depth_but_not_at_the_glass() -> None:
    depth: dict[str, list[float]] = {"core": [], "rim": []}
    outer: dict[str, list[float]] = {"core": [], "rim": []}
    contacts: dict[str, list[float]] = {"core": [], "rim": []}
    for seed in range(30):
        tissue = draw_outline(20, np.random.default_rng(seed)).cells
        far = ndimage.distance_transform_edt(tissue)
        edge = tissue & ~ndimage.binary_erosion(tissue, np.ones((3, 3)))
        for pattern in ("core", "rim"):
            lesion = place_lesion(tissue, pattern, 0.5, np.random.default_rng(seed + 100))  # type: ignore[arg-type]
            depth[pattern].append(far[lesion].mean() - far[tissue & ~lesion].mean())
            outer[pattern].append(lesion[edge].mean())
            across = (lesion[:, 1:] != lesion[:, :-1]) & tissue[:, 1:] & tissue[:, :-1]
            contacts[pattern].append(float(across.sum()))
    assert min(depth["core"]) > 1 and max(depth["rim"]) < -1
    assert outer["core"] == outer["rim"]
    # No more seams between the two kinds in one arrangement than in the other.
    assert abs(np.mean(contacts["core"]) / np.mean(contacts["rim"]) - 1) < 0.1
