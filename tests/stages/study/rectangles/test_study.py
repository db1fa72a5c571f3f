"""The study of rectangles: tiles and their labels, what is measured, and the whole at a tiny size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from histonic.core.errors import SettingsError
from histonic.simulate.low_signal.digits import read_digits
from histonic.simulate.low_signal.rectangles import RectangleImages, RectanglePlan
from histonic.stages.simulate.folder import claim
from histonic.stages.study.rectangles import study as study_module
from histonic.stages.study.rectangles.measures import Localisation, accuracies, jaccard
from histonic.stages.study.rectangles.results import EncoderResult, order_outcome
from histonic.stages.study.rectangles.settings import RectangleStudySettings
from histonic.stages.study.rectangles.study import jobs_of, study_rectangles
from histonic.stages.study.rectangles.tiles import tile_labels, write_tiles

TINY: dict[str, Any] = {
    "side_px": 160, "train": 20, "val": 8, "test": 8, "encoder_images": 6, "tiles": 240, "classes": 2,
    "least_side": 0.3, "encoder_epochs": 1, "encoder_steps": 2, "max_epochs": 1, "explained": 2,
}  # fmt: skip


def test_a_tile_is_of_the_digit_that_fills_it() -> None:
    # At (10, 0) exactly; shifted by 3 and 3 px: 49 % of it in one tile; by 2 and 0: 80 %.
    labels = tile_labels(np.array([[10, 0], [3, 13], [22, 30]]), np.array([4, 5, 6]), 4, 10)
    assert labels.tolist() == [[-1, 4, -1, -1], [-1, -1, -1, -1], [-1, -1, -1, -1], [-1, -1, 6, -1]]


def test_tiles_hold_ink_and_images_stay_in_one_split(tmp_path: Path) -> None:
    plan = RectanglePlan(160, 16, 0.5, (0.3, 0.5), classes=2)
    images = RectangleImages(plan, read_digits(side_px=16)["train"], "train", 6)
    table = write_tiles(tmp_path / "tiles", images, 120, seed=0)
    rows = pd.read_csv(table)
    assert 100 < len(rows) <= 120 and rows.groupby("group")["split"].nunique().max() == 1
    assert set(rows["split"]) == {"train", "val"} and {"part", "digit 0"} <= set(rows["label"])
    before = table.read_bytes()
    assert write_tiles(tmp_path / "tiles", images, 999, seed=1).read_bytes() == before


def test_accuracy_by_size_counts_every_image_once() -> None:
    rng = np.random.default_rng(0)
    right, sizes = rng.random(50) < 0.7, np.append(rng.uniform(0, 0.5, 49), 0.5)
    whole, *parts = accuracies(right, sizes)
    assert whole.images == sum(each.images for each in parts) == 50
    assert whole.right == sum(each.right for each in parts) == right.sum()
    assert all(each.low <= each.value <= each.high for each in [whole, *parts])


def test_jaccard_by_hand() -> None:
    lesion = np.zeros((3, 3), bool)
    lesion[0] = True
    values = np.array([[4.0, 2.0, 1.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    # Half of the greatest: three cells, two of them in the lesion; from 1 on: four, three of them.
    assert jaccard(values, lesion) == (2 / 4, 3 / 4)
    assert jaccard(np.zeros((3, 3)), lesion) == (0.0, 0.0)


def result(objective: str, right: int, code_size: int = 16, stride_share: float = 1.0) -> EncoderResult:
    hits = np.arange(100) < right
    return EncoderResult(
        objective=objective, code_size=code_size, stride_share=stride_share,
        accuracies=tuple(accuracies(hits, np.full(100, 0.2))),
        localisation=Localisation(images=2, jaccard=0.5, sd=0.1, best=0.6),
    )  # fmt: skip


def test_the_order_of_encoders_is_judged_by_intervals() -> None:
    others = [result("vae", 99, 4), result("vae", 99, stride_share=0.5)]
    found = order_outcome([result("bigan", 90), result("multitask", 95), result("contrastive", 60), result("vae", 62), *others])  # fmt: skip  # noqa: E501
    assert found == [
        ("supervised", "contrastive", "reproduced"),
        ("contrastive", "VAE", "undecided"),
        ("VAE", "BiGAN", "not reproduced"),
    ]


def test_which_encoders_are_trained() -> None:
    settings = RectangleStudySettings(
        out="x", objectives=("contrastive", "vae"), code_sizes=(8, 2), varied="vae"
    )
    assert [job.name for job in jobs_of(settings)] == ["contrastive-8", "vae-8", "vae-2", "vae-8-stride-0.5"]
    with pytest.raises(SettingsError, match="named twice"):
        jobs_of(settings.model_copy(update={"code_sizes": (8, 8)}))


def test_the_study_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[study_module.Job] = []

    def run(settings: Any, plan: Any, job: study_module.Job, progress: Any) -> None:
        done.append(job)
        path = study_module._result_path(settings.out, job)
        study_module.write_document(path, result(job.objective, 70, job.code_size, job.stride_share))

    monkeypatch.setattr(study_module, "_run", run)
    out = tmp_path / "study"
    study_rectangles(out=out, steps_at_most=2, **TINY)
    assert len(done) == 2 and not (out / "rectangles.json").exists()
    study_rectangles(out=out, **TINY)
    assert len(done) == len(set(done)) == 6
    facts = json.loads((out / "rectangles.json").read_text())
    assert len(facts["results"]) == 6 and (out / "rectangles.png").stat().st_size > 5000
    page = (out / "rectangles.md").read_text()
    assert "0.612" in page and page.count("**undecided**") == 3
    assert len(pd.read_csv(out / "rectangles.csv")) == 12
    with pytest.raises(SettingsError, match="different: train"):
        study_rectangles(out=out, **{**TINY, "train": 21})


@pytest.mark.long
def test_the_whole_at_a_tiny_size(tmp_path: Path) -> None:
    out = study_rectangles(out=tmp_path / "study", objectives=("multitask",), code_sizes=(4,), varied="multitask", **TINY)  # fmt: skip  # noqa: E501
    facts = json.loads((out / "rectangles.json").read_text())
    assert [found["stride_share"] for found in facts["results"]] == [1.0, 0.5]
    for found in facts["results"]:
        assert found["accuracies"][0]["images"] == 8 and found["localisation"]["images"] == 2
    assert (out / "encoders" / "multitask-4" / "encoder.safetensors").is_file()


def test_a_study_begun_with_other_values_names_those_to_go_on_with(tmp_path: Path) -> None:
    kept = {"density": 0.5, "least_side": 0.1, "code_sizes": [8, 4], "train": 240}
    source = read_digits(side_px=16)["train"].source
    facts = {**study_module._deciding(RectangleStudySettings(out=tmp_path, **kept)), "source": source}
    claim(tmp_path, "a study of rectangles", facts)
    with pytest.raises(SettingsError) as caught:
        study_rectangles(out=tmp_path)
    words = (
        "density (there 0.5, here 0.7)",
        "least_side (there 0.1, here 0.3)",
        "train (there 240, here 2000)",
    )
    assert all(each in caught.value.found for each in (*words, "code_sizes (there 8 4, here 16 4)"))
    assert caught.value.found.count("there") == 4 and "Give the values of the folder" in caught.value.todo
    claim(tmp_path, "a study of rectangles", facts)
    with pytest.raises(SettingsError) as other:
        claim(tmp_path, "crops", facts)
    assert "kind (there a study of rectangles, here crops)" in other.value.found
    assert other.value.todo == "Choose another folder, or delete this one."
