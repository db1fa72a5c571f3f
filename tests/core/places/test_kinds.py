"""What a folder is taken for, and what is said where another one is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.command_line import typed
from histonic.core.places import kinds

FILES = {
    kinds.STORE: ["settings.yaml", "encoder.safetensors", "a.zarr/zarr.json"],
    kinds.RUN: ["run.json", "cohort.json", "settings.yaml", "bundle/bundle.json"],
    kinds.UNFINISHED: ["cohort.json", "settings.yaml", "checkpoints/a"],
    kinds.BUNDLE: ["bundle.json", "weights.safetensors"],
    kinds.ENCODER_RUN: ["run.json", "settings.yaml", "encoder.safetensors", "model_card.md"],
    kinds.ABSENT: ["a.svs"],
    kinds.EMPTY: [],
}


def made(folder: Path, kind: str) -> Path:
    folder.mkdir()
    for name in FILES[kind]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize("kind", FILES)
def test_a_folder_is_known_by_its_files(kind: str, tmp_path: Path) -> None:
    assert kinds.kind_of(made(tmp_path / "a", kind)) == kind
    assert kinds.kind_of(tmp_path / "nowhere") == kinds.ABSENT


def test_a_store_is_not_listed_to_see_that_it_is_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = []
    real = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda folder: listed.append(folder) or real(folder))
    for number, kind in enumerate((kinds.STORE, kinds.ABSENT, kinds.EMPTY)):
        assert kinds.other_than_store(made(tmp_path / str(number), kind)) is None
    assert not listed
    for kind in (kinds.RUN, kinds.UNFINISHED, kinds.BUNDLE, kinds.ENCODER_RUN):
        other = kinds.other_than_store(made(tmp_path / kind, kind))
        assert other is not None and other[0] == f"It is {kind}."


@pytest.mark.parametrize(
    ("words", "kind", "found", "todo"),
    [
        ("report a", kinds.STORE, "It is a store of maps.", "histonic train a --labels"),
        ("explain a", kinds.STORE, "It is a store of maps.", "histonic train a --labels"),
        ("compare a b", kinds.BUNDLE, "It is a bundle.", "Give the run that holds it"),
        (
            "report a",
            kinds.UNFINISHED,
            "It is a run that has not finished.",
            "'histonic train' command again",
        ),
        ("report a", kinds.ENCODER_RUN, "It is a run of 'histonic encoder train'.", "Compress slides with"),
        ("report a", kinds.EMPTY, "It is an empty folder.", "'histonic train' has written"),
        ("predict a x.svs", kinds.STORE, "It is a store of maps.", "Train on it first"),
        ("train a --labels l.csv --target t --out r", kinds.RUN, "It is a run.", "settings.yaml names it"),
        (
            "train a --labels l.csv --target t --out r",
            kinds.EMPTY,
            "an empty folder",
            "compress SLIDES --out a",
        ),
        ("export a --to clam --out r", kinds.BUNDLE, "It is a bundle.", "'histonic predict'"),
        ("audit a --labels l.csv --target t", kinds.ENCODER_RUN, "encoder train", "--encoder a/encoder"),
        ("doctor a", kinds.STORE, "It is a store of maps: it holds no file", "Known extensions"),
        ("compress a --out b", kinds.BUNDLE, "It is a bundle: it holds no file", "Known extensions"),
    ],
)
def test_another_folder_is_called_what_it_is(
    words: str, kind: str, found: str, todo: str, tmp_path: Path
) -> None:
    made(tmp_path / "a", kind)
    before = sorted(tmp_path.rglob("*"))
    shown = typed(*words.split(), cwd=tmp_path)
    assert shown.code == 2 and found.lower() in shown.err.lower() and todo in shown.err, shown.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("words", ["report a", "predict a x.svs", "train a --labels a --target t --out r"])
def test_a_file_in_place_of_a_folder(words: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    shown = typed(*words.split(), cwd=tmp_path)
    assert shown.code == 2 and "It is a file." in shown.err, shown.err
