"""Peaks of an explanation as detections, and their FROC against a drawn lesion."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from histonic.core.compressed import CellMap
from histonic.core.errors import SettingsError, TableError
from histonic.core.grid import TileGrid
from histonic.core.units import XY
from histonic.data.annotations.asap import CAMELYON, read_asap
from histonic.data.annotations.shapes import Annotations, Region, apply_rule
from histonic.data.annotations.shares import area_of
from histonic.metrics.challenges.froc import EVALUATION_MPP, lesions_of_mask
from histonic.simulate.challenges.whole_slides import drawn_box
from histonic.stages.study.frame import lesions
from histonic.stages.study.frame.lesions import (
    annotation_findings,
    detection_files,
    froc_scores,
    peaks,
    read_lesions,
    read_tumour,
    tumour_mask,
)
from histonic.stages.study.frame.plan import Place

GRID = TileGrid.over((4096, 2048), slide_mpp=0.25, tile_px=128, mpp=0.5)


def test_peaks_are_higher_than_their_neighbours() -> None:
    values = np.full((8, 16), np.nan, np.float32)
    values[1, 1:4] = [0.2, 0.8, 0.4]
    values[6, 10] = 0.5
    values[7, 15] = -0.1
    found = peaks(CellMap("a", values, GRID, "test"), 0.8, 0.5)
    assert found == [(0.5, 2.5 * 256, 1.5 * 256), (0.3125, 10.5 * 256, 6.5 * 256)]


def test_the_mask_of_drawn_tumour_has_its_holes(tmp_path: Path) -> None:
    (tmp_path / "test_001.xml").write_text(drawn_box(400, 400, 3600, 1600, "_0"))
    found = apply_rule(read_asap(tmp_path / "test_001.xml", "test"), CAMELYON)
    hole = Region(None, (np.array([[1000.0, 600], [2000, 600], [2000, 1400], [1000, 1400]]),))
    mask = tumour_mask(Annotations((*found.regions, hole)), GRID)
    side = EVALUATION_MPP / 0.25
    assert mask.shape == (int(np.ceil(2048 / side)), int(np.ceil(4096 / side)))
    area = mask.sum() * EVALUATION_MPP**2
    assert area == pytest.approx((3200 * 1200 - 1000 * 800) * 0.25**2, rel=0.05)
    assert not mask[int(1000 / side), int(1500 / side)]
    found_there = lesions_of_mask(mask)
    assert found_there.counted == (1,)  # a hole that is filled does not part it
    assert GRID.origin_xy == XY(0, 0)


def test_detections_with_and_without_header(tmp_path: Path) -> None:
    path = tmp_path / "test_001.csv"
    assert read_lesions(path) == []
    path.write_text("p,x,y\n0.5,10,20\n")
    assert read_lesions(path) == [(0.5, 10.0, 20.0)]
    path.write_text("0.5,10,20\n0.4,x,1\n")
    with pytest.raises(TableError, match="Row 2"):
        read_lesions(path)
    path.write_text("0.5,nan,3\n")
    with pytest.raises(TableError, match="Row 1"):
        read_lesions(path)
    path.write_text("p,x,y\n0.5,10,20\n", encoding="utf-16")
    with pytest.raises(TableError, match=r"It cannot be read: [^\0]*Save it as UTF-8"):
        read_lesions(path)


def test_detections_are_found_whatever_the_case_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "Test_001.csv").write_text("0.5,10,20\n")
    assert detection_files(tmp_path, ["test_001", "test_002"]) == {"test_001": tmp_path / "Test_001.csv"}
    with pytest.raises(SettingsError, match="None of its 1 CSV file"):
        detection_files(tmp_path, ["normal_001"])
    with pytest.raises(SettingsError, match="no such folder"):
        detection_files(tmp_path / "absent", ["test_001"])


def drawn(path: Path, *groups: str) -> Path:
    """A box in each group; the first two lie beside each other."""
    boxes = [(400, 400, 1400, 1600), (2400, 400, 3600, 1600), (600, 600, 1000, 1000)]
    parts = [drawn_box(*box, group) for box, group in zip(boxes, groups, strict=False)]
    body = [part[part.index("<Annotation ") : part.rindex("</Annotation>") + 13] for part in parts]
    path.write_text(f"<ASAP_Annotations><Annotations>{''.join(body)}</Annotations></ASAP_Annotations>")
    return path


@pytest.mark.parametrize(
    ("groups", "share"),
    [
        (("_0", "_1", "_2"), 1000 * 1200 + 1200 * 1200 - 400 * 400),
        (("tumor", "TUMOR", "exclusion"), 1000 * 1200 + 1200 * 1200 - 400 * 400),
        (("metastases", "Metastases", "Normal"), 1000 * 1200 + 1200 * 1200 - 400 * 400),
        (("None", "", "None"), 1000 * 1200 + 1200 * 1200),
        (("None", "_0"), 1200 * 1200),
    ],
)
def test_groups_that_are_tumour(groups: tuple[str, ...], share: int, tmp_path: Path) -> None:
    """By their names in any case; None where no group is told at all."""
    found, is_unnamed = read_tumour(drawn(tmp_path / "test_001.xml", *groups))
    assert area_of(found.regions, "tumour").area == share
    assert is_unnamed == ("None" in groups and "_0" not in groups)


def test_files_without_groups_are_scored_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drawn(tmp_path / "test_001.xml", "None", "None")
    slides, marked = {"test_001": tmp_path / "absent.tif"}, {"test_001": path}
    (warning,) = annotation_findings(slides, marked)
    assert warning.severity == "warning" and "all groups are None: all is taken as tumour." in warning.what
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "test_001.csv").write_text("0.9,900,1000\n")
    monkeypatch.setattr(lesions, "read_map_facts", lambda _: SimpleNamespace(grid=GRID))
    score = froc_scores(Place(tmp_path), {"test_001": "tumor"}, marked, tmp_path / "found")[0]
    assert score.value == pytest.approx(0.5) and score.note.startswith("2 metastases")
    drawn(path, "None", "other")
    (error,) = annotation_findings(slides, marked)
    assert error.severity == "error" and "its groups are None, other." in error.what
