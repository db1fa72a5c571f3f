"""Principal components of a frozen encoder's codes, as an encoder."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from sklearn.decomposition import PCA

from fixtures.encoders import save_base_encoder
from histonic.app.cli import histonic
from histonic.core.errors import SettingsError, TrainingError
from histonic.encoders.base import load_encoder
from histonic.encoders.networks.projected import ProjectedEncoder
from histonic.stages.encoder import frozen
from histonic.stages.encoder.train import train_encoder

FEATURES, KEPT = 24, 6


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder, and tiles without labels of many tints."""
    folder = tmp_path_factory.mktemp("given")
    save_base_encoder(folder, FEATURES)
    rng = np.random.default_rng(0)
    (folder / "tiles").mkdir()
    splits = ["train"] * 60 + ["val"] * 20
    with (folder / "tiles" / "tiles.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "split", "label"])
        for number, split in enumerate(splits):
            level = rng.integers(20, 180, 3)
            noise = rng.integers(0, rng.integers(5, 70), (64, 64, 3))
            Image.fromarray((level + noise).astype(np.uint8)).save(folder / "tiles" / f"{number}.png")
            writer.writerow([f"{number}.png", split, "ab"[number % 2]])
    return folder


def measure(given: Path, out: Path, **values: Any) -> Path:
    known: dict[str, Any] = {
        "objective": "components",
        "sets": [{"name": "tints", "path": given / "tiles", "mpp": 1.0}],
        "weights": given / "base.safetensors",
        "code_size": KEPT,
        "device": "cpu",
    }
    return train_encoder(**{**known, "out": out, **values})


def pixels(given: Path, numbers: range) -> np.ndarray:
    return np.stack([np.asarray(Image.open(given / "tiles" / f"{number}.png")) for number in numbers])


def test_codes_are_the_components_of_scikit_learn_mixed_in_the_root_of_their_spread(
    given: Path, tmp_path: Path
) -> None:
    run = measure(given, tmp_path / "run")
    encoder = load_encoder(run / "encoder.safetensors")
    assert isinstance(encoder, ProjectedEncoder)
    base = load_encoder(given / "base.safetensors")
    assert encoder.base.fingerprint == base.fingerprint
    train = base.encode(pixels(given, range(60))).astype(np.float64)
    held = base.encode(pixels(given, range(60, 80))).astype(np.float64)
    mean, spread = train.mean(0), train.std(0)
    wanted = PCA(KEPT).fit((train - mean) / spread)
    # Distances do not depend on how components are mixed.
    parts = wanted.transform((held - mean) / spread) / np.sqrt(wanted.singular_values_ / np.sqrt(60))
    codes = encoder.encode(pixels(given, range(60, 80)))
    apart = [np.linalg.norm(each[:, None] - each[None], axis=-1) for each in (codes, parts)]
    ratio = apart[0][np.triu_indices(20, 1)] / apart[1][np.triu_indices(20, 1)]
    # The features are kept as float16.
    np.testing.assert_allclose(ratio, np.median(ratio), rtol=5e-3)
    spreads = encoder.encode(pixels(given, range(60))).std(0)
    assert spreads.max() / spreads.min() < 4

    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    standardised = (held - mean) / spread
    held_in = np.square(wanted.transform(standardised)).sum() / np.square(standardised).sum()
    assert facts["validation"]["variance kept"] == pytest.approx(held_in, abs=2e-3)
    assert not (run / "heads.safetensors").exists() and not (run / "curves.png").exists()
    card = (run / "model_card.md").read_text(encoding="utf-8")
    assert "measured by components" in card and "principal components of the codes of base" in card
    assert f"hold {facts['validation']['variance kept']:.1%} of how far" in card


def test_what_no_training_tile_shows_does_not_drown_the_rest_of_other_tissue(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = frozen._encoded

    def with_odd_numbers(pool: Any, shown: np.ndarray, name: str) -> np.ndarray:
        codes = real(pool, shown, name)
        codes[:, 0] = 0.0  # never anything on training tiles
        codes[:, 1] = np.where(np.arange(len(codes)) == 3, 1e-3, 0.0)  # hardly ever
        return codes

    monkeypatch.setattr(frozen, "_encoded", with_odd_numbers)
    encoder = load_encoder(measure(given, tmp_path / "run") / "encoder.safetensors")
    assert isinstance(encoder, ProjectedEncoder)
    features = load_encoder(given / "base.safetensors").encode(pixels(given, range(60)))
    features[:, :2] = 0.0
    other = features.copy()
    other[:, 0], other[:, 1] = 3.0, 1.0
    plain, odd = encoder.projection.codes(features), encoder.projection.codes(other)
    # Numbers of about 1; five deviations of one feature of 24 move them by no more than their own size.
    assert np.abs(odd - plain).max() < 4 * plain.std()


def test_no_label_is_looked_at(given: Path, tmp_path: Path) -> None:
    # No splits either: those drawn where there are labels are drawn within classes.
    labelled = with_table(
        given, tmp_path / "labelled", ["path,label", *(f"{n}.png,{'ab'[n % 2]}" for n in range(80))]
    )
    bare = with_table(given, tmp_path / "bare", ["path", *(f"{number}.png" for number in range(80))])
    one = measure(given, tmp_path / "one", **labelled)
    other = measure(given, tmp_path / "two", **bare)
    prints = [load_encoder(run / "encoder.safetensors").fingerprint for run in (one, other)]
    assert prints[0] == prints[1]
    assert "no labels used" in (one / "model_card.md").read_text(encoding="utf-8")


def test_a_finished_run_is_left_and_other_settings_are_refused(given: Path, tmp_path: Path) -> None:
    run = measure(given, tmp_path / "run")
    before = (run / "encoder.safetensors").stat().st_mtime_ns
    assert measure(given, tmp_path / "run") == run
    assert (run / "encoder.safetensors").stat().st_mtime_ns == before
    with pytest.raises(Exception, match="code_size"):
        measure(given, tmp_path / "run", code_size=5)


def test_on_the_command_line(given: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        histonic,
        ["encoder", "train", "--objective", "components", "--weights", str(given / "base.safetensors"),
         "--tiles", str(given / "tiles"), "--mpp-of-tiles", "1", "--code-size", "6", "--device", "cpu",
         "--out", str(tmp_path / "run")],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert load_encoder(tmp_path / "run" / "encoder.safetensors").spec.code_size == KEPT


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": None}, "No encoder is given"),
        ({"hidden": 9}, "--hidden is given"),
        ({"trunk": "nic"}, "--trunk is given"),
        ({"random_crop": 1.5}, "random_crop"),
        ({"code_size": FEATURES}, "smaller --code-size"),
    ],
)
def test_what_cannot_be_had(given: Path, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        measure(given, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def with_table(given: Path, folder: Path, rows: list[str]) -> dict[str, Any]:
    """The tiles with another table."""
    folder.mkdir()
    for number in range(80):
        (folder / f"{number}.png").symlink_to(given / "tiles" / f"{number}.png")
    (folder / "tiles.csv").write_text("\n".join(rows))
    return {"sets": [{"name": "tints", "path": folder, "mpp": 1.0}]}


def test_more_components_than_tiles(given: Path, tmp_path: Path) -> None:
    rows = ["path,split", *(f"{number}.png,{'train' if number < 5 else 'val'}" for number in range(9))]
    few = with_table(given, tmp_path / "few", rows)
    with pytest.raises(SettingsError, match="There are 5 training tiles"):
        measure(given, tmp_path / "run", **few)
    # Nothing is left that the advice would fall over.
    assert measure(given, tmp_path / "run", code_size=3, **few) == tmp_path / "run"


def test_more_components_than_the_tiles_have(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = frozen._encoded

    def in_a_plane(pool: Any, shown: np.ndarray, name: str) -> np.ndarray:
        codes = real(pool, shown, name)
        codes[:, 2:] = codes[:, :1]
        return codes

    monkeypatch.setattr(frozen, "_encoded", in_a_plane)
    with pytest.raises(SettingsError, match="60 training tiles vary along 2 axes"):
        measure(given, tmp_path / "run")
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize("label", ["one class", "", "of validation tiles alone"])
def test_labels_that_no_training_could_use(given: Path, tmp_path: Path, label: str) -> None:
    rows = ["path,split,label"]
    for number in range(80):
        own = label if label != "of validation tiles alone" else "ab"[number % 2] if number >= 60 else ""
        rows.append(f"{number}.png,{'train' if number < 60 else 'val'},{own}")
    run = measure(given, tmp_path / "run", **with_table(given, tmp_path / "tiles", rows))
    plain = measure(given, tmp_path / "plain")
    prints = [load_encoder(each / "encoder.safetensors").fingerprint for each in (run, plain)]
    assert prints[0] == prints[1]


def test_a_set_whose_labels_say_what_is_laid_on_what(given: Path, tmp_path: Path) -> None:
    rows = ["path,split,label", *(f"{n}.png,{'train' if n < 60 else 'val'},{'ab'[n % 2]}" for n in range(80))]
    (declared,) = with_table(given, tmp_path / "tiles", rows)["sets"]
    run = measure(given, tmp_path / "run", sets=[{**declared, "scale": "compose", "rest": "b", "mpp": 0.5}])
    assert (run / "encoder.safetensors").is_file()


def test_neither_seed_nor_views_nor_augmentation_mean_anything(given: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    one = measure(given, tmp_path / "one", cache=cache)
    two = measure(given, tmp_path / "two", cache=cache, seed=3, views=2, augment="none")
    prints = [load_encoder(run / "encoder.safetensors").fingerprint for run in (one, two)]
    assert prints[0] == prints[1]
    assert len(list(cache.glob("features-*.npy"))) == 1


def test_a_projection_has_no_components(given: Path, tmp_path: Path) -> None:
    run = measure(given, tmp_path / "run")
    with pytest.raises(SettingsError, match="such a projection itself"):
        measure(given, tmp_path / "two", weights=run / "encoder.safetensors", code_size=3)
    assert not (tmp_path / "two").exists()


def test_a_run_begun_without_a_limit_is_not_finished_with_one(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from histonic.stages.encoder import run_files, train

    with monkeypatch.context() as before:
        before.setattr(run_files, "MOST_DEVIATIONS", None)
        before.setattr(train, "write_results", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            measure(given, tmp_path / "run")
    with pytest.raises(TrainingError, match="frozen encoder"):
        measure(given, tmp_path / "run")
