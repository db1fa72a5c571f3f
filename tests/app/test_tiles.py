"""The commands on labelled tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from click.testing import CliRunner
from PIL import Image

from histonic.app.cli import histonic
from histonic.slides.formats.pyramid import write_pyramid


def test_tiles_are_extracted_from_the_command_line(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", np.full((300, 400, 3), (200, 120, 180), np.uint8), mpp=0.5)
    Image.fromarray(np.full((30, 40), 2, np.uint8)).save(tmp_path / "a.png")
    words = ["tiles", "extract", str(tmp_path / "a.tif"), "--annotations", str(tmp_path / "a.png")]
    words += [
        "--labels",
        "2=stroma",
        "--labels",
        "1=tumour",
        "--on-tissue",
        "--out",
        str(tmp_path / "s"),
    ]
    result = CliRunner().invoke(histonic, words)
    assert result.exit_code == 0, result.output
    assert "6 tiles; 1 slide(s) cut, 0 there already, 0 failed" in result.output
    assert "stroma: 6" in result.output
    (tmp_path / "a.png").write_bytes(b"damaged")
    result = CliRunner().invoke(histonic, words)
    assert result.exit_code == 1 and "failed at annotations" in " ".join(result.output.split())
