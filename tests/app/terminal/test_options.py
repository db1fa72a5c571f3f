"""One settings model behind the Python call, the YAML file and the command line."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from histonic.app.terminal.command import SettingsCommand
from histonic.app.terminal.options import parameters, read_yaml
from histonic.core.errors import SettingsError
from histonic.core.settings import Settings, make_settings
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.train.settings import TrainSettings
from histonic.stages.transfer.settings import StudyTasksSettings


def settings_of(model: type[Settings], positional: tuple[str, ...], *words: str) -> Settings:
    caught: list[Settings] = []
    target = f"{model.__module__}:{model.__name__}"
    command = SettingsCommand("x", settings=target, positional=positional, callback=caught.append)
    result = CliRunner().invoke(command, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return caught[0]


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


def test_several_defaults_are_listed() -> None:
    named = {each.name: each for each in parameters(TrainSettings, ("store",))}
    point = named["operating_point"]
    assert isinstance(point, click.Option) and point.help is not None
    assert point.help.endswith("[default: youden, sensitivity=0.95; several: give it again for each]")
    assert point.multiple


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
        ("slides: [a]\n", "--out is missing"),
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


def test_pairs_need_a_sign() -> None:
    with pytest.raises(SettingsError, match="NAME=VALUE"):
        settings_of(
            TrainSettings, ("store",), "s", "--labels", "l", "--target", "a", "--out", "r", "--columns", "x"
        )


def test_required_options_come_first_then_own_then_shared() -> None:
    names = [parameter.name for parameter in parameters(TrainSettings, ("store",))]
    assert names[:5] == ["store", "labels", "target", "out", "aggregator"]
    assert names[-9:] == [
        "sheet",
        "table_style",
        "columns",
        "slide_table",
        "classes",
        "decimal",
        "event_coding",
        "event_of_interest",
        "config",
    ]


def test_a_key_named_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("folds: 5\nseed: 1\nfolds: 3\n")
    with pytest.raises(SettingsError, match="'folds' stands in the lines 1 and 3"):
        read_yaml(tmp_path / "a.yaml")


NEEDED = {"store": "s", "labels": "l.csv", "target": ["a"], "out": "r"}


def test_sheets_and_spellings_on_the_command_line() -> None:
    words = (
        "s",
        "--labels",
        "l.xlsx",
        "--target",
        "a",
        "--out",
        "r",
        "--sheet",
        "Clinical",
        "--sheet",
        "Scans",
    )
    more = ("--classes", "cll=CLL", "--decimal", "comma")
    parsed = settings_of(TrainSettings, ("store",), *words, *more)
    assert isinstance(parsed, TrainSettings)
    assert (parsed.label_sheet, parsed.slide_sheet) == ("Clinical", "Scans")
    assert (parsed.classes, parsed.decimal) == ({"cll": "CLL"}, "comma")
    assert TrainSettings.model_validate({**NEEDED, "sheet": "A"}).sheet == ("A",)


def test_targets_without_end_are_refused_before_any_work() -> None:
    with pytest.raises(SettingsError, match="at most 1000 items"):
        make_settings(TrainSettings, {**NEEDED, "target": ["y"] * 200_000})


def test_one_word_says_where_tissue_comes_from(tmp_path: Path) -> None:
    (tmp_path / "word.yaml").write_text("slides: [a.svs]\nout: s\ntissue: masks\nmask: {values: [2, 1]}\n")
    (tmp_path / "keys.yaml").write_text("slides: [a.svs]\nout: s\ntissue: {source: masks}\n")
    words = ["a.svs", "--out", "s", "--tissue", "masks", "--mask-values", "1,2"]
    by_words = settings_of(CompressSettings, ("slides",), *words)
    by_file = settings_of(CompressSettings, ("slides",), "--config", str(tmp_path / "word.yaml"))
    given = ("--config", str(tmp_path / "keys.yaml"), "--mask-values", "2", "--mask-values", "1")
    by_both = settings_of(CompressSettings, ("slides",), *given)
    python = make_settings(
        CompressSettings, {"slides": ["a.svs"], "out": "s", "tissue": "masks", "mask": {"values": "1,2"}}
    )
    assert by_words == by_file == by_both == python
    more = ("--config", str(tmp_path / "word.yaml"), "--tissue-mpp", "4")
    settings = settings_of(CompressSettings, ("slides",), *more)
    assert isinstance(settings, CompressSettings)
    assert settings.tissue.source == "masks" and settings.tissue.mpp == 4


def test_a_wrong_word_is_named_as_it_is_written() -> None:
    with pytest.raises(SettingsError, match=r"tissue is 'mask': Input should be 'auto', 'all' or 'masks'"):
        settings_of(CompressSettings, ("slides",), "a.svs", "--out", "s", "--tissue", "mask")


def test_a_cohort_of_the_task_study_is_said_on_the_command_line_but_for_its_mappings(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "out: s\nsets: [{name: a, path: a}, {name: b, path: b}]\n"
        "cohort: {train: {folds: 5}, target: grade, labels: other.csv}\n"
    )
    words = ["--cohort", "slides", "--cohort-labels", "labels.csv", "--cohort-own-sets", "a"]
    found = settings_of(StudyTasksSettings, (), "--config", str(tmp_path / "c.yaml"), *words)
    assert isinstance(found, StudyTasksSettings)
    cohort = found.cohort
    assert [str(each) for each in cohort.slides] == ["slides"] and cohort.own_sets == ("a",)
    assert cohort.train == {"folds": 5} and cohort.target == ("grade",) and str(cohort.labels) == "labels.csv"
    named = {option for each in parameters(StudyTasksSettings) for option in each.opts}
    assert "--cohort-keep-stores" in named and "--cohort-train" not in named
