"""The doors: help at once, exit codes, three-part messages and no traceback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fixtures.command_line import typed
from histonic.app.cli import histonic
from histonic.app.terminal.command import SettingsCommand
from histonic.core.settings import Settings


def commands(group: click.Group, *before: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)
        else:
            yield " ".join([*before, name]), command


COMMANDS = dict(commands(histonic))


def test_one_word_for_slides_and_runs_and_groups_for_the_rest() -> None:
    flat = [
        "init",
        "run",
        "doctor",
        "convert",
        "compress",
        "import",
        "export",
        "export-onnx",
        "audit",
        "train",
        "external",
        "predict",
        "project",
        "recipe",
        "report",
        "view",
        "explain",
        "compare",
        "verify",
    ]
    grouped = ["encoder import", "encoder pool", "encoder tasks", "encoder train", "encoder transfer"]
    grouped += ["bench compress", "bench encoder", "bench train"]
    grouped += ["simulate challenge", "simulate crops", "simulate mosaic", "simulate needles"]
    grouped += [
        "simulate rectangles",
        "simulate stains",
        "study needles",
        "study rectangles",
        "tiles extract",
    ]
    assert sorted(COMMANDS) == sorted([*flat, *grouped, "demo", "list"])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_takes_a_settings_file(name: str) -> None:
    result = CliRunner().invoke(histonic, [*name.split(), "--help"])
    assert result.exit_code == 0 and "Usage" in result.output
    assert "--config FILE.yaml" in result.output or name == "list"


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "list"])
def test_every_setting_is_described(name: str) -> None:
    command = COMMANDS[name]
    assert isinstance(command, SettingsCommand)
    for key, field in command.model.model_fields.items():
        nested = isinstance(field.annotation, type) and issubclass(field.annotation, Settings)
        assert nested or field.description, f"{name}: {key}"


def test_version() -> None:
    result = CliRunner().invoke(histonic, ["--version"])
    assert result.output == f"histonic, version {version('histonic')}\n"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("compress", "--out", "s"), "No slide was given"),
        (("compress", "nowhere.svs", "--out", "s", "--batch", "x"), "batch is 'x'"),
        (("compress", "nowhere", "--out", "s", "--encoder", "color"), "nowhere"),
        (("encoder", "import", "none.h5", "--out", "e.safetensors"), "no such file"),
        (("train", "nostore", "--labels", "none.csv", "--target", "a", "--out", "r"), "to do:"),
        (("report", "norun"), "to do:"),
        (("predict", "nobundle", "a.svs"), "to do:"),
        (("doctor",), "Neither was given"),
        (("compres",), "Did you mean 'compress'"),
        (("transfer",), "Did you mean 'encoder transfer'"),
        (("study", "tasks"), "No such command 'tasks'."),
        (("encoder", "train", "config.yaml"), "unexpected extra argument"),
        (("compress", "--nonsense"), "No such option"),
    ],
)
def test_bad_input_is_three_parts_and_code_2(words: tuple[str, ...], found: str, tmp_path: Path) -> None:
    shown = typed(*words, cwd=tmp_path)
    assert shown.code == 2, shown.err
    assert found in shown.err
    assert "Traceback" not in shown.err
    assert list(tmp_path.iterdir()) == []


def test_so_it_is_in_a_process_of_its_own(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "histonic", "train", "nostore", "--labels", "none.csv", "--out", "r"]
    shown = subprocess.run(
        [*words, "--target", "a"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert shown.returncode == 2 and shown.stdout == ""
    assert "to do:" in shown.stderr and "Traceback" not in shown.stderr
    assert list(tmp_path.iterdir()) == []
