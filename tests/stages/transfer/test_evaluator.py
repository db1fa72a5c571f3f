"""Both designs of trainings go on where they stopped, and leave the same files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from histonic.core.compressed import ProjectionDescription
from histonic.core.errors import RunError, SettingsError
from histonic.core.task import Task
from histonic.encoders.base import EncoderSpec
from histonic.encoders.networks.nic import NicEncoder
from histonic.encoders.networks.projected import ProjectedEncoder, build_projection, projected_tensors
from histonic.stages.transfer.evaluator import Evaluator, can_be_tuned
from histonic.stages.transfer.settings import TransferSettings
from histonic.stages.transfer.tasks import study_tasks
from histonic.stages.transfer.tiles.evaluated import Evaluated, load_evaluated, save_evaluated
from histonic.stages.transfer.tiles.scores import TilePredictions
from histonic.stages.transfer.transfer import transfer

SETS = [{"name": name, "path": name, "mpp": 0.5} for name in ("nodes", "colon", "breast")]


def files(out: Path) -> dict[str, bytes]:
    found = [path for path in out.rglob("*") if path.is_file() and path.name != "settings.yaml"]
    return {str(path.relative_to(out)): path.read_bytes() for path in found}


@pytest.mark.parametrize(
    ("study", "more", "names"),
    [
        (
            transfer,
            {"grid": {"learning_rate": [0.001, 0.1]}},
            {f"transfer.{end}" for end in ("csv", "json", "md", "png")},
        ),
        (study_tasks, {}, {"trials.csv", *(f"tasks.{end}" for end in ("csv", "json", "md", "png"))}),
    ],
    ids=["transfer", "tasks"],
)
def test_an_interrupted_command_goes_on_where_it_stopped(
    fake_world: Any, tmp_path: Path, study: Callable[..., Path], more: dict[str, Any], names: set[str]
) -> None:
    def run(name: str) -> Path:
        return study(out=tmp_path / name, sets=SETS, seeds=2, resamples=100, **more)

    whole = files(run("whole"))
    assert names <= set(whole)
    steps, fake_world.steps = fake_world.steps, 0
    for stop_at in (2, steps // 2, steps - 1):
        fake_world.stop_at = stop_at
        with pytest.raises(KeyboardInterrupt):
            run("interrupted")
        assert fake_world.steps == stop_at and not names & set(files(tmp_path / "interrupted"))
    fake_world.stop_at = None
    assert files(run("interrupted")) == whole
    # Nothing was done twice, nor is it when all is finished.
    assert fake_world.steps == steps
    assert files(run("interrupted")) == whole and fake_world.steps == steps


def test_the_folder_of_another_command_is_refused(fake_world: Any, tmp_path: Path) -> None:
    given = {"sets": SETS, "seeds": 1, "resamples": 100}
    for name, study, other in (("transfer", transfer, study_tasks), ("tasks", study_tasks, transfer)):
        study(out=tmp_path / name, **given)
        before = files(tmp_path / name), (tmp_path / name / "settings.yaml").read_bytes()
        with pytest.raises(SettingsError, match="folder of another command"):
            other(out=tmp_path / name, **given)
        assert (files(tmp_path / name), (tmp_path / name / "settings.yaml").read_bytes()) == before


def test_a_folder_of_fewer_settings_goes_on(fake_world: Any, tmp_path: Path) -> None:
    """As of a version that did not know all of them."""
    given = {"sets": SETS, "seeds": 1, "resamples": 100}
    file = study_tasks(out=tmp_path, **given) / "settings.yaml"
    kept = yaml.safe_load(file.read_text())
    del kept["max_subsets"]
    file.write_text(yaml.safe_dump(kept))
    study_tasks(out=tmp_path, **given)
    file.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match=r"settings\.yaml cannot tell"):
        study_tasks(out=tmp_path, **given)


def test_codes_are_made_on_a_cpu_where_that_is_asked_for(
    fake_world: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("histonic.stages.transfer.evaluator.pick_device", lambda device: device)
    given = {"out": tmp_path, "sets": SETS}
    for device, cluster, here in (
        ("cpu", "tcp://a:1", "cpu"),
        ("cuda", "tcp://a:1", "auto"),
        ("cuda", None, "cuda"),
    ):
        settings = TransferSettings(**given, base={"device": device}, cluster=cluster)
        assert Evaluator(settings, None).device == here


def kept_predictions(path: Path) -> Path:
    task = Task("tissue", "binary", ("tissue",), ("no", "yes"))
    outputs = np.array([[0.9, 0.1], [0.3, 0.7], [0.5, 0.5]])
    save_evaluated(
        path, [Evaluated("s", TilePredictions(task, np.array([0.0, 1, 1]), outputs, np.arange(3)), 1.0)]
    )
    return path


@pytest.mark.parametrize("seed", range(40))
def test_damaged_predictions_are_refused_or_the_same(seed: int, tmp_path: Path) -> None:
    path = kept_predictions(tmp_path / "p.npz")
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    if seed % 4 == 0:
        del content[rng.integers(len(content)) :]
    else:
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    (tmp_path / "q.npz").write_bytes(content)
    try:
        (found,) = load_evaluated(tmp_path / "q.npz")
    except RunError as error:
        assert "q.npz" in error.asked and "Delete it" in error.todo
    else:
        (whole,) = load_evaluated(path)
        assert np.array_equal(found.predictions.outputs, whole.predictions.outputs)


def test_predictions_of_other_shapes_are_refused(tmp_path: Path) -> None:
    path = kept_predictions(tmp_path / "p.npz")
    with np.load(path) as file:
        arrays = dict(file)
    for change in (
        {"outputs0": np.ones((3, 3))},
        {"truth0": np.ones(2)},
        {"outputs0": np.full((3, 2), np.nan)},
    ):
        np.savez(path, **{**arrays, **change})
        with pytest.raises(RunError, match="cannot be read"):
            load_evaluated(path)


def test_only_encoders_whose_own_weights_may_change_are_tuned(tmp_path: Path) -> None:
    spec = EncoderSpec("base", "nic", 64, 1.0, 12)
    base = NicEncoder(spec, NicEncoder.build(spec))
    base.save(tmp_path / "base.safetensors")
    short = replace(spec, architecture="projected:nic", code_size=5, projection=ProjectionDescription(12))
    own = {name: value.numpy() for name, value in build_projection(short).state_dict().items()}
    tensors = projected_tensors(base.tensors, own)
    ProjectedEncoder.from_tensors(short, tensors, "cpu", "32").save(tmp_path / "short.safetensors")
    assert can_be_tuned(str(tmp_path / "base.safetensors"))
    assert not can_be_tuned(str(tmp_path / "short.safetensors")) and not can_be_tuned("colour")
