"""Results on stdout, the rest on stderr and in the log; with --json one object, also where it fails."""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from pydantic import ValidationError

from fixtures.command_line import Shown, typed
from histonic.app.cli import histonic
from histonic.app.terminal.command import Command, SettingsCommand
from histonic.app.terminal.output import Output
from histonic.app.terminal.progress import TerminalProgress
from histonic.slides.formats.pyramid import write_pyramid

KEYS = ["histonic", "command", "exit_code", "seconds", "paths", "numbers", "rows", "failures"]
KEYS += ["warnings", "notes", "error"]
OWN = ["--quiet", "--verbose", "--json", "--log-file"]


def commands(group: click.Group, *before: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)
        else:
            yield " ".join([*before, name]), command


COMMANDS = dict(commands(histonic))


def told(shown: Shown) -> dict[str, Any]:
    (line,) = shown.out.splitlines()
    values: dict[str, Any] = json.loads(line)
    assert list(values) == KEYS and values["exit_code"] == shown.code
    return values


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    image = np.random.default_rng(0).integers(120, 200, (400, 500, 3)).astype(np.uint8)
    write_pyramid(tmp_path / "slides" / "a.tif", image, mpp=0.5)
    return tmp_path / "slides" / "a.tif"


@pytest.mark.parametrize("name", COMMANDS)
def test_no_path_of_a_command_is_taken_from_a_url(name: str) -> None:
    command = COMMANDS[name]
    for key, field in command.model.model_fields.items() if isinstance(command, SettingsCommand) else ():
        kind = str(field.annotation)
        if "Path" in kind and "Url" not in kind:
            with pytest.raises(ValidationError) as caught:
                command.model.model_validate({key: "s3://bucket/a"})
            (said,) = [each["msg"] for each in caught.value.errors() if each["loc"][0] == key]
            assert "URL can be no file or folder here" in said, key


@pytest.mark.parametrize("words", [("list", "--log-file"), ("train", "store", "--tensorboard")], ids=" ".join)
@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("s3://bucket/log.txt", "A URL can be no file or folder here"),
        ("s3:/bucket/log.txt", "A URL can be no file or folder here"),
        ("", "An empty text names no file"),
        ("a" * 300, "No file can have such a name"),
    ],
)
def test_what_is_logged_to_is_a_path_by_the_rule_of_settings(
    words: tuple[str, ...], place: str, said: str, tmp_path: Path
) -> None:
    shown = typed(*words, place, cwd=tmp_path)
    assert shown.code == 2 and said in shown.err
    assert not list(tmp_path.iterdir())
    assert typed("list", "--log-file", "a/b:/c://d.log", cwd=tmp_path).code == 0, "no URL, of a colon alone"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_says_in_the_same_way(name: str) -> None:
    command = COMMANDS[name]
    assert isinstance(command, Command)
    with click.Context(command, info_name=name) as context:
        options = [option for param in command.get_params(context) for option in param.opts]
    assert len(options) == len(set(options))
    assert [each for each in OWN if each in options] == OWN
    if isinstance(command, SettingsCommand):
        fields = {"quiet", "verbose", "as_json", "log_file", "tensorboard", "config", "json"}
        assert not fields & set(command.model.model_fields)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("list", "demo")])
def test_every_command_fails_as_an_object_too(name: str, tmp_path: Path) -> None:
    shown = typed(*name.split(), "--nonsense", "--json", cwd=tmp_path)
    values = told(shown)
    assert shown.code == 2 and values["command"] == name
    assert values["error"]["found"] == "No such option: --nonsense"
    # And where its settings are read, or nothing is where it ought to be.
    needed = COMMANDS[name].model.model_fields  # type: ignore[attr-defined]
    words = [] if any(field.is_required() for field in needed.values()) else ["--config", "none.yaml"]
    shown = typed(*name.split(), "--json", *words, cwd=tmp_path)
    values = told(shown)
    assert shown.code == 2 and values["command"] == name
    assert all(values["error"][part] for part in ("kind", "asked", "found", "todo"))
    assert "Traceback" not in shown.err and values["error"]["found"] in shown.err
    assert list(tmp_path.iterdir()) == []


def test_a_slide_that_fails_is_in_the_object_and_the_code(slide: Path, tmp_path: Path) -> None:
    (slide.parent / "b.tif").write_bytes(b"II*\0 nothing else")
    words = ("compress", "slides", "--encoder", "colour", "--tissue", "all", "--out", "store", "--json")
    shown = typed(*words, cwd=tmp_path)
    values = told(shown)
    assert shown.code == 1 and values["error"] is None
    assert values["paths"]["store"] == "store" and values["numbers"]["done"] == 1
    assert values["numbers"]["failures"] == 1 and values["numbers"]["tiles"] > 0
    (failure,) = values["failures"]
    assert failure["subject"] == "slides/b.tif" and failure["stage"] == "open" and failure["reason"]
    assert "store: 1 compressed" in shown.err  # what is for people, not for machines


def test_quiet_drops_progress_and_notes_but_neither_results_nor_errors(slide: Path, tmp_path: Path) -> None:
    words = ("compress", "slides", "--encoder", "colour", "--tissue", "all", "--out", "store")
    shown = typed(*words, "--quiet", cwd=tmp_path)
    assert shown.err == "" and "store: 1 compressed" in shown.out
    loud = typed(*words, "--verbose", cwd=tmp_path)  # it is there already
    assert "compressed already" in loud.err and "encoder colour: tiles of" in loud.err
    plain = typed(*words, cwd=tmp_path)
    assert "encoder colour" not in plain.err and "compress ..." in plain.err
    failed = typed("report", "nowhere", "-q", cwd=tmp_path)
    assert failed.code == 2 and "to do:" in failed.err
    both = typed(*words, "-q", "--json", cwd=tmp_path)
    assert both.err == "" and told(both)["numbers"]["skipped"] == 1


def test_the_log_has_all_of_it_with_the_time(slide: Path, tmp_path: Path) -> None:
    words = ("compress", "slides", "--encoder", "colour", "--tissue", "all", "--out", "store")
    typed(*words, "-q", "--log-file", "logs/a.log", cwd=tmp_path)
    lines = (tmp_path / "logs" / "a.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+\d{4} [a-z]+ +\S", line) for line in lines)
    kinds = [line.split()[2] for line in lines]
    assert (
        kinds[0] == "begin"
        and {"progress", "detail", "result"} <= set(kinds)
        and lines[-1][-11:] == "exit code 0"
    )
    typed("report", "nowhere", "--log-file", "logs/a.log", cwd=tmp_path)
    more = (tmp_path / "logs" / "a.log").read_text().splitlines()
    assert more[: len(lines)] == lines and more[-1].endswith("exit code 2")
    assert any(" error " in line and "to do:" in line for line in more)
    assert logging.getLogger("histonic").level == logging.NOTSET


@pytest.mark.parametrize("name", ["folder", "file/a.log"])
def test_a_log_that_cannot_be_is_refused_before_any_work(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    values = told(typed("list", "--json", "--log-file", name, cwd=tmp_path))
    assert values["exit_code"] == 2 and values["error"]["kind"] == "OutputError" and values["rows"] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_log_on_a_full_disk_ends_without_the_run(tmp_path: Path) -> None:
    shown = typed("list", "--log-file", "/dev/full", cwd=tmp_path)
    assert shown.code == 0 and "convnet" in shown.out
    assert shown.err.count("the log /dev/full ends here") == 1


def test_a_fault_is_in_the_log_with_its_traceback_and_has_code_70(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("histonic.app.listing.list_plugins", lambda check: {}["lost"])
    shown = typed("list", "--json", "--log-file", "a.log", cwd=tmp_path)
    values = told(shown)
    assert shown.code == 70 and "a.log has the details" in values["error"]["found"]
    log = (tmp_path / "a.log").read_text()
    assert "Traceback" in log and "KeyError: 'lost'" in log and "Traceback" not in shown.err


def test_warnings_of_python_are_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def warned(check: bool) -> list[object]:
        warnings.warn("a  colour\nprofile is odd", RuntimeWarning, stacklevel=1)
        return []

    before = warnings.showwarning
    monkeypatch.setattr("histonic.app.listing.list_plugins", warned)
    monkeypatch.setattr("histonic.app.listing.lines_of", lambda rows: ["nothing"])
    shown = typed("list", "-q", "--json", cwd=tmp_path)
    assert told(shown)["warnings"] == ["a colour profile is odd"]
    assert shown.err == "warning: a colour profile is odd\n"
    assert warnings.showwarning is before


def test_an_interruption_is_told_as_an_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(check: bool) -> list[object]:
        raise KeyboardInterrupt

    monkeypatch.setattr("histonic.app.listing.list_plugins", interrupted)
    shown = typed("list", "--json", cwd=tmp_path)
    assert shown.code == 130 and told(shown)["error"]["kind"] == "Interrupted"


def test_words_are_told_apart_from_values_of_options() -> None:
    assert Output(["list", "--json"]).json and not Output(["list", "--", "--json"]).json


def test_what_json_has_no_word_for() -> None:
    output = Output(["--json"])
    output.answer.numbers = {"auc": float("nan"), "n": np.int64(3)}  # type: ignore[dict-item]
    output.answer.rows = [{"path": Path("a"), "shape": (1, 2)}]
    values = json.loads(json.dumps(output.told(0), allow_nan=False))
    assert values["numbers"] == {"auc": None, "n": 3} and values["rows"] == [{"path": "a", "shape": [1, 2]}]


def test_the_page_names_every_command_and_key() -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "scripts.md").read_text(encoding="utf-8")
    table = page[page.index("What the commands put there") : page.index("For example")]
    rows = re.findall(r"^\| `([a-z -]+)` \|", table, re.MULTILINE)
    assert sorted(rows) == sorted(COMMANDS)
    assert all(f"`{key}`" in page for key in KEYS)


def test_progress_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("histonic.app.terminal.progress.time.monotonic", lambda: now)
    with TerminalProgress(Output()) as progress:
        progress.stage("train", 10)
        for _ in range(4):
            now += 6.0
            progress.advance(1, "epoch")
        progress.doing("step 3 of 4", 0.75)
        now += 10.0
        progress.doing("step 4 of 4", 1.0)
        progress.stage("report")
    assert capsys.readouterr().err.splitlines() == [
        "train ...",
        "train: 20 %, about 48 s left: epoch",
        "train: 40 %, about 36 s left: epoch",
        "train: 50 %, about 34 s left: step 4 of 4",
        "train: done in 34 s",
        "report ...",
    ]


def test_a_quiet_progress_tells_only_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    output.begin("x", quiet=True, verbose=True, as_json=False, log_file=tmp_path / "a.log")
    with TerminalProgress(output) as progress:
        progress.stage("train", 10)
        progress.say("a note")
        progress.detail("a detail")
        progress.warn("odd")
        progress.slide("s", "torn")
    output.end(0)
    assert capsys.readouterr().err == "warning: odd\n"
    kinds = [line.split()[2] for line in (tmp_path / "a.log").read_text().splitlines()]
    assert kinds[3:] == ["progress", "note", "detail", "warning", "detail", "end"]
    assert output.answer.notes == ["a note"] and output.answer.warnings == ["odd"]


def test_help_is_no_object(tmp_path: Path) -> None:
    shown = typed("list", "--json", "--help", cwd=tmp_path)
    assert shown.code == 0 and "Usage" in shown.out and "exit_code" not in shown.out
