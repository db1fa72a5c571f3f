"""With --private, no file of a store, run or report names a path or a slide file."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from histonic.core.errors import SettingsError
from histonic.core.progress import Listener
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress.compress import compress
from histonic.stages.explain.explain import explain
from histonic.stages.predict.external import external_test
from histonic.stages.report.report import write_report
from histonic.stages.study.run import run_study
from histonic.stages.train.train import train_slides

SECRET = ("hannover", "ward", "mustermann")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slides whose files are named by patients, in a folder named by a ward, and tables with numbers."""
    folder = tmp_path_factory.mktemp("private")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(12):
        image = np.full((900, 900, 3), 245, np.uint8)
        noise = rng.integers(-30, 30, (700, 700, 1)) + 20 * (number % 2)
        image[100:800, 100:800] = np.clip(np.array([190, 110, 170]) + noise, 0, 255)
        path = folder / "hannover" / "ward-7" / f"mustermann-{number}.tif"
        write_pyramid(path, image, mpp=0.5)
        rows.append(
            {"path": path, "patient_id": f"P{number}", "slide_id": f"s{number}", "msi": "yn"[number % 2]}
        )
    path.with_name("mustermann-12.tif").write_bytes(b"no slide")
    rows.append({**rows[-1], "path": path.with_name("mustermann-12.tif"), "slide_id": "s12"})
    pd.DataFrame(rows).to_csv(folder / "hannover" / "ward.csv", index=False)
    return folder


def test_nothing_written_names_a_path(cohort: Path) -> None:
    table, store, run = cohort / "hannover/ward.csv", cohort / "store", cohort / "run"
    result = compress(slides=[table], encoder="colour", out=store, private=True)
    assert len(result.done) == 12 and [failure.slide_id for failure in result.failures] == ["s12"]
    train_slides(
        store=store, labels=table, target=("msi",), out=run, aggregator="mean", folds=3, initialisations=1,
        max_epochs=2, private=True,
    )  # fmt: skip
    explain(run=run, store=store, slide=("s0",), checks=False)
    external_test(run=run, store=store, labels=table, name="again")
    write_report(run=run, store=store, resamples=100)
    assert "Where the model looks" in (run / "report.html").read_text()
    for path in [*store.rglob("*"), *run.rglob("*")]:
        named = str(path.relative_to(cohort)).lower()
        content = path.read_bytes().lower() if path.is_file() else b""
        for word in (*SECRET, str(cohort)):
            assert word not in named and word.encode() not in content, f"{path} names {word}"


@pytest.mark.long
def test_nor_does_a_study_in_one_file(cohort: Path) -> None:
    file = cohort / "hannover" / "study.yaml"
    train = {"labels": "ward.csv", "target": ["msi"], "aggregator": "mean", "folds": 3, "initialisations": 1}
    study = {
        "out": "../study",
        "compress": {"slides": ["ward.csv"], "encoder": "colour", "private": True},
        "train": {**train, "max_epochs": 2, "private": True},
        **dict.fromkeys(("explain", "report"), False),
    }
    file.write_text(yaml.safe_dump(study))
    said = Lines()
    run_study(study=file, progress=said)
    run_study(study=file, progress=said)  # tries the slide again that is none, and looks at all that is kept
    out = cohort / "study"
    doctor = (out / "doctor.txt").read_text()
    assert "error    s12  " in doctor and "ok       s0  " in doctor
    for path in out.rglob("*"):
        content = path.read_bytes().lower() if path.is_file() else b""
        for word in (*SECRET, str(cohort)):
            assert word not in str(path.relative_to(cohort)).lower(), path
            assert word.encode() not in content, f"{path} names {word}"
    told = [line for line in said.lines if "s12" in line or "error" in line]
    assert told and not any(word in line.lower() for line in told for word in SECRET)


class Lines(Listener):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_nor_do_the_lines_of_a_dry_run(cohort: Path, tmp_path: Path) -> None:
    values = {"slides": [cohort / "hannover/ward.csv"], "encoder": "colour", "out": tmp_path / "store"}
    plan = compress(**values, private=True, dry_run=True).plan
    assert plan is not None and plan.count("fails") == 1 and not (tmp_path / "store").exists()
    lines = "\n".join(slide.line() for slide in plan.slides).lower()
    assert not any(word in lines for word in (*SECRET, str(cohort))) and "fails    s12" in lines


def test_slides_have_to_be_named_by_a_table(cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="file names alone"):
        compress(
            slides=[cohort / "hannover" / "ward-7"], encoder="colour", out=tmp_path / "store", private=True
        )
    assert not (tmp_path / "store").exists()
    shutil.rmtree(tmp_path)
