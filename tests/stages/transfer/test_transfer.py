"""The transfer protocol with trainings that take no time: what is trained and evaluated on what."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from histonic.core.errors import SettingsError
from histonic.stages.transfer.selection import mean_ranks
from histonic.stages.transfer.tiles import mlp
from histonic.stages.transfer.transfer import transfer
from histonic.training.schedule import Schedule

NAMES = ("nodes", "colon", "breast", "kind")


def sets(related: dict[str, str] | None = None, names: tuple[str, ...] = NAMES) -> list[dict[str, Any]]:
    return [
        {"name": name, "path": name, "mpp": 0.5, "related": (related or {}).get(name, "")} for name in names
    ]


def values(out: Path, **more: Any) -> dict[str, Any]:
    given = {
        "out": out,
        "sets": sets(),
        "base": {"max_epochs": 3},
        "seeds": 2,
        "resamples": 200,
        "modes": ["frozen"],
    }
    return {**given, **more}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_left_out_task_is_never_trained_on(fake_world: Any, tmp_path: Path) -> None:
    out = transfer(**values(tmp_path / "run", sets=sets({"colon": "gut", "kind": "gut"})))
    assert len(fake_world.trainings) == 8 and fake_world.done == 6
    for training in fake_world.trainings:
        pool = {each.name for each in training.sets}
        away = training.out.parent.name.removeprefix("without-").split(",")
        assert pool == set(NAMES) - set(away)
    assert {training.out.parent.name for training in fake_world.trainings} == {
        "without-nodes", "without-breast", "without-colon,kind"
    }  # fmt: skip
    rows = table(out / "transfer.csv")
    assert len(rows) == 2 * 4 * 2
    assert {(row["task"], row["encoder"]) for row in rows} == {
        (name, encoder) for name in NAMES for encoder in ("colour", "multitask")
    }
    for row in rows:
        assert float(row["low"]) <= float(row["score"]) <= float(row["high"])
        assert row["groups"] == "15" and row["tiles"] == "80"
        # The noise of a tile knows no group.
        assert 0 < float(row["class_share"]) < 0.5 and float(row["source_share"]) < 0.1
    page = (out / "transfer.md").read_text()
    shares = page.partition("## What the codes vary with")[2]
    assert shares.count("| colour |") == 1 and shares.count("% / 0%") + shares.count("% / 1%") >= 4


def test_all_modes_and_the_comparisons(fake_world: Any, tmp_path: Path) -> None:
    names = NAMES[:3]
    modes = ["frozen", "finetuned", "scratch"]
    given = {"sets": sets(names=names), "modes": modes, "finetune": {"learning_rate": 0.1}}
    out = transfer(**values(tmp_path / "run", **given))
    cells = {(row["task"], row["encoder"], row["mode"]) for row in table(out / "transfer.csv")}
    assert {(encoder, mode) for _, encoder, mode in cells} == {
        ("colour", "frozen"), ("multitask", "frozen"), ("multitask", "finetuned"), ("from scratch", "scratch")
    }  # fmt: skip
    tuned = [each for each in fake_world.trainings if "finetuned" in each.out.parts]
    assert len(tuned) == 6
    for each in tuned:
        left_out = each.out.parent.name
        assert [one.name for one in each.sets] == [left_out] and f"without-{left_out}" in str(each.weights)
        assert each.learning_rate == 0.1 and each.objective == "multitask" and each.max_epochs == 3
    scratch = [each for each in fake_world.trainings if "scratch" in each.out.parts]
    assert len(scratch) == 6 and all(each.weights is None for each in scratch)
    facts = json.loads((out / "transfer.json").read_text())
    found = {
        (each["encoder"], each["mode"], each["other_encoder"], each["other_mode"])
        for each in facts["differences"]
        if each["task"] == "mean of tasks"
    }
    assert len(found) == 6
    first = next(
        each for each in facts["differences"]
        if (each["task"], each["encoder"], each["other_encoder"]) == ("nodes", "colour", "multitask")
    )  # fmt: skip
    assert first["difference"] < -0.2 and first["p"] < 0.05 and first["high"] < 0
    page = (out / "transfer.md").read_text()
    assert page.count("| frozen, linear model |") == 2 and "▼" in page
    assert (out / "transfer.png").stat().st_size > 5000


def test_a_small_network_on_frozen_codes_is_a_row_of_its_own(
    fake_world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlp, "SCHEDULE", Schedule(max_epochs=1))
    out = transfer(**values(tmp_path / "run", variants={}, modes=["frozen", "mlp"], seeds=1))
    rows = table(out / "transfer.csv")
    assert {row["mode"] for row in rows} == {"frozen", "mlp"} and len(rows) == 8
    assert all((row["c"] == "") == (row["mode"] == "mlp") for row in rows)
    assert "| colour | frozen, dense layer of 256 |" in (out / "transfer.md").read_text()


def test_joint_training_is_one_on_all_sets_judged_by_its_heads(fake_world: Any, tmp_path: Path) -> None:
    variants = {"multitask": {}, "vae": {"objective": "vae"}}
    given = {"sets": sets(names=NAMES[:3]), "modes": ["joint", "finetuned"], "variants": variants}
    out = transfer(**values(tmp_path / "run", **given))
    joint = [each for each in fake_world.trainings if "joint" in each.out.parts]
    assert len({each.out for each in joint}) == 2  # by two seeds, for all three tasks together
    assert all([one.name for one in each.sets] == list(NAMES[:3]) for each in joint)
    rows = [row for row in table(out / "transfer.csv") if row["mode"] == "joint"]
    # What has no heads cannot be judged by them.
    assert {row["encoder"] for row in rows} == {"multitask"} and len(rows) == 3 * 2
    assert "trained with the task among the others" in (out / "transfer.md").read_text()


def test_settings_are_chosen_without_the_task_under_test(fake_world: Any, tmp_path: Path) -> None:
    out = transfer(**values(tmp_path / "run", grid={"learning_rate": [0.001, 0.1]}))
    chosen = json.loads((out / "transfer.json").read_text())["chosen"]["multitask"]
    for name in NAMES:
        # The fake training is better with 0.1, so three tasks put it first.
        assert chosen[name]["settings"] == "learning_rate=0.1"
        assert (
            chosen[name]["mean_ranks"]["learning_rate=0.1"]
            < chosen[name]["mean_ranks"]["learning_rate=0.001"]
        )
    # The poor setting is trained by the seed of selection only.
    poor = {each.out for each in fake_world.trainings if each.learning_rate == 0.001}
    assert len(poor) == 4 and {path.name for path in poor} == {"seed-0"}
    assert {row["settings"] for row in table(out / "transfer.csv") if row["encoder"] == "multitask"} == {
        "learning_rate=0.1"
    }


def test_selection_reads_validation_tiles_of_other_tasks_only(
    fake_world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from histonic.stages.transfer import evaluator

    asked: list[tuple[str, str]] = []
    plain = evaluator.probe_set

    def watched(tiles: Any, codes: Any, **how: Any) -> Any:
        asked.append((tiles.plan.name, how["split"]))
        return plain(tiles, codes, **how)

    monkeypatch.setattr(evaluator, "probe_set", watched)
    excluded: list[str] = []

    def ranks(scores: Any, away: Any) -> dict[str, float]:
        excluded.extend(task[0] for task in away)
        return mean_ranks(scores, away)

    monkeypatch.setattr("histonic.stages.transfer.transfer.mean_ranks", ranks)
    transfer(**values(tmp_path / "run", grid={"learning_rate": [0.001, 0.1]}, encoders=[]))
    assert excluded == list(NAMES)
    last_validation = max(number for number, each in enumerate(asked) if each[1] == "val")
    first_test = min(number for number, each in enumerate(asked) if each[1] == "test")
    assert last_validation < first_test


def test_variants_are_trained_side_by_side(fake_world: Any, tmp_path: Path) -> None:
    variants = {"ours": {}, "vae": {"objective": "vae", "learning_rate": 0.1}}
    out = transfer(**values(tmp_path / "run", variants=variants, base={"seed": 5}))
    assert {each.objective for each in fake_world.trainings} == {"multitask", "vae"}
    assert {row["seed"] for row in table(out / "transfer.csv")} == {"5", "6"}
    means = {
        each["encoder"]: np.mean(each["values"])
        for each in json.loads((out / "transfer.json").read_text())["cells"]
        if each["task"] == "nodes"
    }
    assert means["vae"] > means["ours"] > means["colour"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"sets": sets(dict.fromkeys(NAMES, "all"))}, "No set is left to train on"),
        ({"base": {"learnin_rate": 1}}, "learning_rate"),
        ({"base": {"out": "x"}}, "'out' stands there"),
        ({"grid": {"bach": [1, 2]}}, "batch"),
        ({"sets": [*sets(), sets()[0]]}, "Two are named 'nodes'"),
        ({"encoders": ["colour", "colour"]}, "Two encoders are named 'colour'"),
        ({"finetune": {"max_epochs": 0}}, "max_epochs"),
        ({"base": {"seed": "first"}}, "seed"),
        ({"modes": []}, "modes"),
        ({"variants": {}, "modes": ["finetuned"]}, "None is trained here or given"),
    ],
)
def test_wrong_settings_are_refused_before_any_training(
    fake_world: Any, tmp_path: Path, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        transfer(**values(tmp_path / "run", **more))
    assert not fake_world.trainings


def write_set(folder: Path, dark: int, groups: int = 8) -> None:
    """Tiles of two classes, eight to a group; groups never cross splits."""
    rng = np.random.default_rng(dark)
    folder.mkdir()
    lines = ["path,label,split,group"]
    for number in range(8 * groups):
        group, label = number % groups, number // groups % 2
        pixels = rng.integers(dark + 60 * label, dark + 60 * label + 80, (32, 32, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        split = ["train", "train", "train", "val", "val", "test", "test", "test"][group]
        lines.append(f"{number}.png,{'yes' if label else 'no'},{split},g{group}")
    (folder / "tiles.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_real_tiles_and_real_trainings(tmp_path: Path) -> None:
    for name, dark in (("one", 20), ("two", 100)):
        write_set(tmp_path / name, dark)
    out = transfer(
        out=tmp_path / "run",
        sets=[{"name": name, "path": tmp_path / name, "mpp": 2.0} for name in ("one", "two")],
        base={
            "tile_px": 64,
            "mpp": 1.0,
            "code_size": 8,
            "batch": 8,
            "steps": 2,
            "max_epochs": 1,
            "device": "cpu",
        },
        encoders=[],
        seeds=1,
        resamples=100,
    )
    rows = table(out / "transfer.csv")
    assert [(row["task"], row["mode"]) for row in rows] == [
        ("one", "frozen"), ("one", "finetuned"), ("two", "frozen"), ("two", "finetuned"),
        ("one", "scratch"), ("two", "scratch"),
    ]  # fmt: skip
    assert {row["groups"] for row in rows} == {"3"} and {row["tiles"] for row in rows} == {"24"}
    assert float(rows[0]["score"]) > 0.7
    assert not (out / "cache").exists()
    assert "Interval from 3 groups only." in (out / "transfer.md").read_text()
    encoder = Path("runs/multitask/without-one/seed-0/encoder.safetensors")
    assert (out / encoder).is_file()
