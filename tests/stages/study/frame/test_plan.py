"""Steps, their files and commands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from histonic.core.errors import SettingsError
from histonic.stages.study.file.commands import steps_of
from histonic.stages.study.file.reading import read_study
from histonic.stages.study.frame.plan import Place, encoder_step, entered, slide_steps, write_settings
from histonic.stages.study.frame.settings import RecipeSettings


def settings(**more: object) -> RecipeSettings:
    return RecipeSettings(name="tupac16", data=Path("data"), **more)  # type: ignore[arg-type]


def test_targets_that_are_entered() -> None:
    assert entered(settings(), ("a", "b")) == ("a", "b")
    assert entered(settings(target=("b",)), ("a", "b")) == ("b",)
    with pytest.raises(SettingsError, match="'c'"):
        entered(settings(target=("c",)), ("a", "b"))


def test_settings_are_written_as_the_commands_read_them(tmp_path: Path) -> None:
    place = Place(tmp_path)
    steps = slide_steps(settings(mpp=0.25, seed=3), place, ["grade"], test=True)
    given = settings(mpp=0.25, table=Path("t.csv"))
    told = write_settings(place, given, steps)
    commands = (tmp_path / "commands.txt").read_text().splitlines()
    assert told == commands
    assert commands[0] == f"histonic run {tmp_path / 'study.yaml'}"
    assert [line.split(" --config ")[0] for line in commands[1:]] == [
        "histonic compress",
        "histonic predict",
        "histonic recipe",
    ]
    first = yaml.safe_load(Path(commands[1].split(" --config ")[1]).read_text())
    assert first["mpp"] == 0.25 and first["slides"] == [str(tmp_path / "tables" / "test.csv")]
    last = yaml.safe_load(Path(commands[-1].split(" --config ")[1]).read_text())
    assert last["run"] and last["table"] == os.path.abspath("t.csv") and last["out"] == str(tmp_path)
    assert "encoder" not in last  # what was not said stays unsaid


def test_the_file_of_the_study_leads_to_the_same_steps(tmp_path: Path) -> None:
    config = tmp_path / "encoder.yaml"
    config.write_text("sets: []\n")
    place = Place(tmp_path / "out")
    given = settings(mpp=0.25, seed=3, encoder_config=config)
    steps = slide_steps(given, place, ["grade:ordinal:grade:1<2"], test=True)
    write_settings(place, given, steps)
    text = place.study.read_text()
    assert str(tmp_path) not in text  # the folder can be moved
    assert text.index("compress:") < text.index("train:") < text.index("report:")
    (tmp_path / "out" / "tables").mkdir()
    place.table("train").touch()
    of_study = [step for step in steps if not step.title]
    assert [step.verb for step in of_study] == ["compress", "train", "report"]
    assert steps_of(read_study(place.study)) == of_study


def test_an_encoder_in_a_file_is_named_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    assert settings(encoder="own.safetensors").encoder == str((tmp_path / "own.safetensors").resolve())
    assert settings(encoder="histonic-lite").encoder == "histonic-lite"


def test_an_encoder_is_trained_first_where_its_settings_are_given(tmp_path: Path) -> None:
    config = tmp_path / "encoder.yaml"
    config.write_text("sets: []\nsteps: 5\nout: elsewhere\n")
    (step,), encoder = encoder_step(settings(encoder_config=config), Place(tmp_path / "out"))
    assert step.verb == "encoder train" and step.settings["steps"] == 5
    assert step.settings["out"] == str(tmp_path / "out" / "encoder")
    assert encoder == str(tmp_path / "out" / "encoder" / "encoder.safetensors")
    config.write_text("- 1\n")
    with pytest.raises(SettingsError, match="no keys"):
        encoder_step(settings(encoder_config=config), Place(tmp_path / "out"))
