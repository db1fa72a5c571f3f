"""Recipes as a user follows them: nothing is written before the check, and a run ends with a submission."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fixtures.challenges import Bare
from fixtures.command_line import typed
from histonic.core.documents import read_document
from histonic.core.errors import RunError
from histonic.simulate.challenges import images, whole_slides
from histonic.simulate.challenges.writing import MINIATURES, simulate_challenge
from histonic.simulate.patients import Latents
from histonic.stages.report import content
from histonic.stages.report.document.sections import ExplanationsSection
from histonic.stages.report.maps import METHOD
from histonic.stages.study.frame.cases import Survey
from histonic.stages.study.frame.results import ChallengeScores
from histonic.stages.study.recipe import RECIPES, find_recipe, recipe

QUICK = ("--encoder", "colour", "--max-epochs", "2", "--resamples", "100", "--orientations", "1")


def test_every_recipe_has_a_miniature_and_what_the_frame_asks_for() -> None:
    assert list(RECIPES) == list(MINIATURES)
    for name in RECIPES:
        found = find_recipe(name)
        assert found.TITLE and found.LICENCE and found.TARGETS
        for part in ("survey", "steps", "write_inputs", "finish"):
            assert callable(getattr(found, part))


@pytest.mark.parametrize("name", RECIPES)
def test_a_check_writes_nothing_and_a_plan_is_written(name: str, bare: Bare, tmp_path: Path) -> None:
    bare(name)
    shown = typed("recipe", name, "data", "--check", cwd=tmp_path)
    assert shown.code == 0, shown.err
    assert "recognised: " in shown.err and "licence: " in shown.err and "cases: " in shown.err
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    shown = typed("recipe", name, "data", "--out", "out", *QUICK[:2], cwd=tmp_path)
    assert shown.code == 0, shown.err
    commands = (tmp_path / "out" / "commands.txt").read_text().split("\n")
    assert shown.out.split("\n") == commands and commands[-2].startswith("histonic recipe --config ")
    assert (tmp_path / "out" / "tables" / "cases.csv").is_file()
    head = (tmp_path / "out" / "tables" / "cases.csv").read_text().split("\n")[0].split(",")
    assert head[:3] == ["slide_id", "patient_id", "path"]
    assert head[-6:] == ["site", "scanner", "split", "mpp", "group_source", "left_out"]
    for line in commands[:-1]:
        assert Path(line.split()[-1]).is_file()
    # Tile sets are no study of slides.
    of_slides = name not in ("patchcamelyon", "nct-crc", "breakhis", "midog")
    assert any(line.startswith("histonic run ") for line in commands) is of_slides
    if of_slides:
        assert typed("run", "out/study.yaml", "--dry-run", cwd=tmp_path).code == 0


@pytest.mark.parametrize(
    ("words_typed", "found"),
    [
        (("tupac", "data"), "Did you mean 'tupac16'"),
        (("tupac16", "nowhere"), "There is no such folder"),
        (("tupac16", "empty"), "It holds no file"),
        (("tupac16", "data", "--target", "grade"), "It has score, molecular"),
        (("camelyon17", "data"), "missing: stage_labels.csv"),
    ],
)
def test_wrong_words_are_three_parts(
    words_typed: tuple[str, ...], found: str, bare: Bare, tmp_path: Path
) -> None:
    bare("tupac16")
    (tmp_path / "empty").mkdir()
    shown = typed("recipe", *words_typed, "--out", "out", cwd=tmp_path)
    assert shown.code == 2 and found in shown.err and "to do:" in shown.err
    assert not (tmp_path / "out").exists()


FEW = ("--target", "molecular", "--folds", "3", "--initialisations", "1", "--run")
WHOLE = ("recipe", "tupac16", "data", "--out", "out", *QUICK, *FEW)
NO_EXPLANATIONS = ExplanationsSection(problem="not looked at here", method=METHOD, targets={})


def disc(latents: Latents, site: str, rng: np.random.Generator, side_px: int) -> np.ndarray:
    """A round piece of tissue, darker where more cells divide."""
    side = min(side_px, 384)
    rows, cols = np.ogrid[:side, :side]
    image = np.full((side, side, 3), 245, np.uint8)
    inside = (rows - side / 2) ** 2 + (cols - side / 2) ** 2 < (side / 2.2) ** 2
    tint = np.array([200, 130, 180]) - 90 * latents.proliferation
    image[inside] = np.clip(tint + rng.normal(0, 18, (int(inside.sum()), 3)), 0, 255)
    return image


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest whole-slide miniature followed to its submission; explanations are left to their tests."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "simulate_slide", disc)
        patch.setattr(whole_slides, "TUPAC_TRAINED", 9)
        patch.setattr(whole_slides, "TUPAC_TESTED", 2)
        patch.setattr(content, "report_explanations", lambda *_: NO_EXPLANATIONS)
        simulate_challenge("tupac16", folder / "data")
        shown = typed(*WHOLE, cwd=folder)
    assert shown.code == 0, shown.err
    assert shown.err.index("recognised") < shown.err.index("time, as far") < shown.err.index("step 1 of 5")
    assert "Submission: " in shown.out
    return folder


def test_a_run_ends_with_a_submission_and_scores(finished: Path) -> None:
    rows = [row.split(",") for row in (finished / "out" / "submission.csv").read_text().splitlines()]
    assert len(rows) == 2 and all(row[0] == "-1" and abs(float(row[1])) < 9 for row in rows)
    scores = read_document(ChallengeScores, finished / "out" / "scores.json", RunError, "Run it again.")
    names = {(each.of, each.name) for each in scores.scores}
    assert ("molecular, cross-validated", "Spearman correlation") in names
    assert {of for of, _ in names} == {"molecular, cross-validated"}
    assert (finished / "out" / "run" / "report.html").is_file()


def test_what_is_finished_is_not_repeated(finished: Path) -> None:
    kept = [*(finished / "out" / "run" / "predictions").iterdir(), finished / "out" / "predictions.csv"]
    before = {path: path.stat().st_mtime_ns for path in kept}
    shown = typed(*WHOLE, cwd=finished)
    assert shown.code == 0, shown.err
    assert "report is done already" in shown.err and "predict is done already" in shown.err
    assert "all 9 slides are done" in shown.err
    assert before == {path: path.stat().st_mtime_ns for path in kept}


def test_its_study_is_the_one_that_run_does(finished: Path) -> None:
    shown = typed("run", "out/study.yaml", "--dry-run", cwd=finished)
    assert shown.code == 0, shown.err
    assert "nothing is to do" in shown.out, shown.out
    study = finished / "out" / "study.yaml"
    text = study.read_text()
    study.write_text(text.replace("resamples: 100", "resamples: 110"))
    shown = typed("run", "out/study.yaml", "--dry-run", cwd=finished)
    study.write_text(text)
    lines = shown.out.splitlines()
    assert [line.split()[:3] for line in lines[:2]] == [["done", "compress", "9"], ["done", "train"]], lines
    assert lines[2].startswith("to do    report")


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in RECIPES if name != "tupac16"])
def test_every_miniature_runs_to_its_end(name: str, tmp_path: Path) -> None:
    data = simulate_challenge(name, tmp_path / "data")
    more = {"encoder": "colour", "max_epochs": 2, "resamples": 100, "orientations": 1, "run": True}
    result = recipe(name=name, data=data, out=tmp_path / "out", **more)
    assert isinstance(result.found, Survey) and result.outcome.files
    assert all(path.exists() for path in result.outcome.files)
    assert tmp_path / "out" / "scores.json" in result.outcome.files
