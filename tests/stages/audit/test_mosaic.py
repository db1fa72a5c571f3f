"""From tiles to the alarm: a site planted by the mosaic is raised, an absent one is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histonic.stages.audit.audit import audit
from histonic.stages.audit.findings import AuditResult
from histonic.stages.compress.compress import compress
from histonic.stages.tiles.mosaic import simulate_mosaic


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiles")
    rng = np.random.default_rng(0)
    for label, colour in (("normal", (215, 160, 195)), ("tumour", (165, 110, 180))):
        (folder / label).mkdir()
        for number in range(64):
            noise = rng.normal(0, 14, (64, 64, 1)) + rng.normal(0, 6)
            picture = (np.array(colour) + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(picture).save(folder / label / f"{number}.png")
    return folder


def audit_mosaic(folder: Path, tiles: Path, site_effect: float) -> AuditResult:
    out = simulate_mosaic(
        tiles=tiles,
        mpp_of_tiles=0.5,
        kind="needle",
        out=folder / "cohort",
        patients=32,
        test_patients=0,
        sites=2,
        cells=9,
        tile_px=64,
        site_effect=site_effect,
    )
    compress(slides=[out / "slides"], encoder="colour", out=out / "store")
    return audit(store=out / "store", labels=out / "labels.csv", target=["lesion"], permutations=500)


@pytest.mark.long
def test_a_planted_site_is_raised(tmp_path: Path, tiles: Path) -> None:
    result = audit_mosaic(tmp_path, tiles, 0.9)
    site = next(each for each in result.confounders if each.confounder == "site")
    assert site.alarm and site.low > 0.6
    assert "The site alone predicts lesion" in [finding.what for finding in result.findings]


@pytest.mark.long
def test_an_absent_one_is_not(tmp_path: Path, tiles: Path) -> None:
    result = audit_mosaic(tmp_path, tiles, 0.0)
    assert not any(each.alarm for each in result.confounders if each.confounder != "colour")
    # Slides of so little tissue (0.05 square millimetres) are not compared, and nothing is said of them.
    assert result.copies == () and result.compared == 0
    assert result.count("error") == 0
