"""The doors: help at once, exit codes, three-part messages and no traceback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from histonic.app.cli import histonic
from histonic.app.options import read_yaml, settings_command
from histonic.app.settings import DemoSettings, DoctorSettings
from histonic.core.errors import SettingsError
from histonic.core.settings import Settings, make_settings
from histonic.core.task import Task
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.audit.settings import AuditSettings
from histonic.stages.compare.settings import CompareSettings
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.encoder.settings import ImportSettings
from histonic.stages.predict.settings import PredictSettings
from histonic.stages.report.settings import ReportSettings
from histonic.stages.tiles.settings import ExtractSettings
from histonic.stages.train.settings import TrainSettings

SCORE = Task("proliferation_score", "regression", ("ki67_percent",))
MODELS: list[type[Settings]] = [
    AuditSettings,
    CompareSettings,
    CompressSettings,
    DemoSettings,
    DoctorSettings,
    ExtractSettings,
    ImportSettings,
    PredictSettings,
    ReportSettings,
    TrainSettings,
]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "histonic", *words], capture_output=True, text=True, check=False
    )


def settings_of(model: type[Settings], positional: tuple[str, ...], *words: str) -> Settings:
    group = click.Group()
    caught: list[Settings] = []

    def command(settings: Settings) -> int:
        """Keep the settings."""
        caught.append(settings)
        return 0

    settings_command(group, "x", model, positional)(command)
    result = CliRunner().invoke(group, ["x", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return caught[0]


def test_every_command_has_help() -> None:
    for name in histonic.commands:
        result = CliRunner().invoke(histonic, [name, "--help"])
        assert result.exit_code == 0 and "Usage" in result.output


def test_every_setting_is_described() -> None:
    for model in MODELS:
        for key, field in model.model_fields.items():
            nested = isinstance(field.annotation, type) and issubclass(field.annotation, Settings)
            assert nested or field.description, f"{model.__name__}.{key}"


def test_python_yaml_and_command_line_are_the_same_settings(tmp_path: Path) -> None:
    values = {
        "slides": ["a.svs", "b"],
        "out": "s",
        "mpp": 0.5,
        "orientations": 8,
        "tissue": {"mpp": 4.0},
    }
    by_python = make_settings(CompressSettings, values)
    (tmp_path / "c.yaml").write_text(
        "slides: [a.svs, b]\nout: s\nmpp: 0.5\norientations: 8\ntissue: {mpp: 4.0}\n"
    )
    by_yaml = settings_of(CompressSettings, ("slides",), "--config", str(tmp_path / "c.yaml"))
    words = ["a.svs", "b", "--out", "s", "--mpp", "0.5", "--orientations", "8", "--tissue-mpp", "4"]
    by_words = settings_of(CompressSettings, ("slides",), *words)
    assert by_python == by_yaml == by_words


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("slides: [a.svs]\nout: s\ntissue: {mpp: 4.0, min_cell_share: 0.5}\n")
    words = ("--config", str(tmp_path / "c.yaml"), "--tissue-mpp", "2")
    settings = settings_of(CompressSettings, ("slides",), *words)
    assert isinstance(settings, CompressSettings)
    assert settings.tissue.mpp == 2 and settings.tissue.min_cell_share == 0.5


def test_pairs_become_a_mapping() -> None:
    words = ("s", "--labels", "l.csv", "--target", "a", "--target", "b", "--out", "r")
    settings = settings_of(TrainSettings, ("store",), *words, "--columns", "patient_id=case")
    assert isinstance(settings, TrainSettings)
    assert settings.columns == {"patient_id": "case"} and settings.target == ("a", "b")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("slidez: [a]\nout: s\n", "'slides'"),
        ("slides: [a]\nout: s\ntissue: {mp: 3}\n", "'mpp'"),
        ("slides: [a]\nout: s\nbatch: many\n", "batch is 'many'"),
        ("slides: [a]\nout: s\nbatch: 0\n", "batch is 0"),
        ("slides: [a]\n", "out is nothing"),
        ("- a\n- b\n", "no keys"),
        ("a: [", "not YAML"),
    ],
)
def test_wrong_settings_files(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(SettingsError, match=words):
        settings_of(CompressSettings, ("slides",), "--config", str(tmp_path / "c.yaml"))


def test_an_absent_settings_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        read_yaml(tmp_path / "none.yaml")


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
        "true",
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


def test_pairs_need_a_sign() -> None:
    with pytest.raises(SettingsError, match="NAME=VALUE"):
        settings_of(
            TrainSettings, ("store",), "s", "--labels", "l", "--target", "a", "--out", "r", "--columns", "x"
        )


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
        (("compres",), "Did you mean"),
        (("compress", "--nonsense"), "No such option"),
    ],
)
def test_bad_input_is_three_parts_and_code_2(words: tuple[str, ...], found: str, tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "histonic", *words], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert shown.returncode == 2, shown.stderr
    assert found in shown.stderr
    assert "Traceback" not in shown.stderr
    assert list(tmp_path.iterdir()) == []


def test_runs_are_compared_from_the_command_line(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    runs = [
        str(make_run(tmp_path / name, (SCORE,), patients=24, pictures=False, skill=k))
        for k, name in ((0.2, "a"), (3, "b"))
    ]
    out = tmp_path / "out"
    done = run("compare", *runs, "--resamples", "100", "--permutations", "100", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "24 shared patients" in done.stdout and "a − b" in done.stdout
    assert sorted(path.name for path in out.iterdir()) == [
        "comparison.csv",
        "comparison.json",
        "comparison.md",
    ]
    alone = run("compare", runs[0])
    assert alone.returncode == 2 and "Traceback" not in alone.stderr and "two or more" in alone.stderr


def test_version_and_list() -> None:
    assert run("--version").stdout.startswith("histonic, version ")
    shown = run("list")
    assert shown.returncode == 0
    for name in ("tiff", "openslide", "colour", "nic", "convnet"):
        assert f" {name} " in shown.stdout
