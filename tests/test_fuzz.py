"""A few damaged files of each kind through the commands; `benchmarks/fuzz.py` tries thousands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).resolve().parents[1] / "benchmarks" / "fuzz.py"
KINDS = (
    *("svs-jpeg", "svs-jpeg2000", "pyramid", "picture", "dicom", "csv", "tsv", "xlsx", "parquet", "yaml"),
    *("store", "bundle", "encoder", "h5", "geojson", "asap", "tileset", "extracted", "run"),
)


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="mutants are tried in forked processes")
def test_damaged_files_are_refused_or_do_no_harm() -> None:
    shown = subprocess.run(
        [sys.executable, FUZZ, "--per-kind", "6", "--typed", "1", "--kinds", ",".join(KINDS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    for kind in KINDS:
        assert f"| {kind} | 6 |" in shown.stdout
