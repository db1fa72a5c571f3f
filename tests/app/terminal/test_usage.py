"""Words from other tools, and words too many: what they are called here."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.command_line import typed
from histonic.core.errors import SettingsError
from histonic.core.hints.elsewhere import here
from histonic.core.settings import make_settings
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.encoder.settings import TrainEncoderSettings
from histonic.stages.train.settings import TrainSettings


@pytest.mark.parametrize(
    ("words", "called"),
    [
        ("train s --lr 1e-3", "--learning-rate."),
        ("train s --epochs 3", "--max-epochs."),
        ("train s --batch-size 3", "--batch."),
        ("train s --gpu", "--device cuda."),
        ("train s --num_workers 3", "--workers."),
        ("train s --k 5", "--folds."),
        ("train s --fp16", "--precision bf16."),
        ("train s --model abmil", "--aggregator."),
        ("compress s --model uni", "--encoder."),
        ("compress s --output s", "--out."),
        ("compress s --max_enlargement 3", "--most-enlargement"),
        ("encoder train --lr 3", "--learning-rate."),
        ("encoder train --backbone resnet", "--trunk."),
        ("train s --max_epochs 3", "--max-epochs"),
        ("--json train s", "Write --json after the command."),
        ("compress --config", "requires an argument"),
    ],
)
def test_names_from_elsewhere_are_answered(words: str, called: str, tmp_path: Path) -> None:
    shown = typed(*words.split(), cwd=tmp_path)
    assert shown.code == 2 and "to do:" in shown.err, shown.err
    assert called in shown.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "called"),
    [
        ("lr", "'learning_rate'"),
        ("epochs", "'max_epochs'"),
        ("batch_size", "'batch'"),
        ("gpu", "'device=cuda'"),
    ],
)
def test_so_they_are_in_python_and_files(given: str, called: str) -> None:
    for model in (TrainSettings, TrainEncoderSettings):
        with pytest.raises(SettingsError, match=f"Did you mean {called}"):
            make_settings(model, {given: 1})


def test_a_name_leads_only_to_settings_that_there_are() -> None:
    models = [TrainSettings, CompressSettings, TrainEncoderSettings]
    known = {key for model in models for key in model.model_fields}
    known |= {"verbose", "quiet", "config", "tensorboard"}
    for name in ("lr", "gpu", "model", "output", "k", "fp16", "csv", "patch_size", "overwrite", "debug"):
        assert {words.split()[0] for words in here(name)} <= known and here(name)


def test_what_is_missing_is_named_as_it_is_typed(tmp_path: Path) -> None:
    shown = typed("compress", "--encoder", "colour", cwd=tmp_path)
    assert "--out is missing" in shown.err and "Give --out (" in shown.err
    shown = typed("train", "--labels", "a.csv", cwd=tmp_path)
    assert "STORE is missing" in shown.err
    shown = typed("encoder", "pool", "--out", "a", cwd=tmp_path)
    assert "The list sources is missing" in shown.err and "under 'sources:'" in shown.err
