"""Every damaged byte is found, and what can be made anew is removed if asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from histonic.app.cli import histonic
from histonic.core.documents import sealed
from histonic.core.errors import SettingsError
from histonic.data.maps.failures import Failure, write_failure
from histonic.data.maps.store import Store
from histonic.encoders.base import load_encoder
from histonic.stages.explain.explain import explain
from histonic.stages.train.train import train_slides
from histonic.stages.verify.verify import verify


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(bytes(content))


@pytest.fixture
def cohort(store_maker: Callable[..., Path], tmp_path: Path) -> Path:
    return store_maker(tmp_path, patients=12, side=8)


@pytest.fixture(scope="module")
def trained(cohort_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = train_slides(
        store=cohort_folder / "store", labels=cohort_folder / "labels.csv", target=("score",),
        out=tmp_path_factory.mktemp("verified") / "run", aggregator="mean", folds=3, initialisations=1,
        max_epochs=1,
    )  # fmt: skip
    explain(run=run, slide=("s00a",), checks=False)
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_a_store_as_written_has_no_fault(cohort: Path) -> None:
    (found,) = verify(paths=[cohort / "store"])
    assert (found.kind, found.checked, found.faults) == ("store", 13, ())


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ("features/c/0/0/0", "hash differs"),
        ("mask/c/0/0", "arrays cannot be read"),
        ("features/zarr.json", "exchanged"),
        ("zarr.json", ""),
    ],
)
def test_a_flipped_bit_is_found_and_its_map_removed(cohort: Path, member: str, words: str) -> None:
    path = cohort / "store" / "s03a.zarr"
    flip(path / member)
    (found,) = verify(paths=[cohort / "store"])
    assert [fault.path for fault in found.faults] == [path] and path.is_dir()
    assert words in found.faults[0].found
    (found,) = verify(paths=[cohort / "store"], repair=True)
    assert [fault.was_removed for fault in found.faults] == [True] and not path.exists()
    assert verify(paths=[cohort / "store"])[0].faults == ()
    assert "s03a" not in Store.open(cohort / "store").slide_ids


def test_quick_finds_what_is_absent_or_exchanged_and_reads_no_chunk(cohort: Path) -> None:
    store = cohort / "store"
    assert verify(paths=[store], quick=True)[0] == verify(paths=[store])[0]
    (store / "s03a.zarr/features/c/0/0/0").unlink()
    flip(store / "s04a.zarr/zarr.json")
    shutil.copy(store / "s06a.zarr/mask/c/0/0", store / "s05a.zarr/features/c/0/0/0")
    cut = store / "s07a.zarr/features/c/0/0/0"
    cut.write_bytes(cut.read_bytes()[:-1])
    flip(store / "s08a.zarr/features/c/0/0/0")  # in the midst of a chunk: for this every byte is read
    damaged = [f"s0{number}a.zarr" for number in range(3, 9)]
    damaged.remove("s06a.zarr")
    (quick,), (whole,) = verify(paths=[store], quick=True), verify(paths=[store])
    assert [fault.path.name for fault in quick.faults] == damaged[:-1]
    assert [fault.path.name for fault in whole.faults] == damaged


def test_a_byte_that_no_checksum_covers_is_found_by_the_hash(cohort: Path) -> None:
    """A changed fact whose digest was made to fit, as by a careless script."""
    path = cohort / "store" / "s03a.zarr" / "zarr.json"
    values = json.loads(path.read_text())
    values["attributes"]["content"] = "0" * 64
    values["attributes"] = sealed(values["attributes"])
    path.write_text(json.dumps(values))
    (found,) = verify(paths=[cohort / "store"])
    assert "hash differs" in found.faults[0].found


def test_damaged_failures_and_encoders_of_a_store_are_found(cohort: Path) -> None:
    write_failure(cohort / "store", Failure("x", "x.tif", "open", "no slide"))
    (cohort / "store/failures/x.json").write_text("{")
    load_encoder("mean-rgb").save(cohort / "store/encoder.safetensors")
    (found,) = verify(paths=[cohort / "store"], repair=True)
    assert [fault.path.name for fault in found.faults] == ["x.json", "encoder.safetensors"]
    assert "not the encoder" in found.faults[1].found
    assert verify(paths=[cohort / "store"])[0].faults == ()


def test_a_run_as_written_has_no_fault(run: Path) -> None:
    (found,) = verify(paths=[run])
    assert (found.kind, found.faults) == ("run", ()) and found.checked >= 8


@pytest.mark.parametrize(
    ("name", "removed"),
    [
        ("predictions/score.csv", False),
        ("cohort.json", False),
        ("history.csv", False),
        ("run.json", False),
        ("bundle/weights.safetensors", False),
        ("bundle/bundle.json", False),
        ("explain/integrated-gradients/score/s00a/values.zarr/values/c/0/0", True),
    ],
)
def test_a_changed_file_of_a_run_is_found(run: Path, name: str, removed: bool) -> None:
    path = run / name
    content = path.read_bytes()
    at = content.rindex(b".") + 1  # a digit, so that the text still is what it has to be
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    (found,) = verify(paths=[run], repair=True)
    assert len(found.faults) == 1 and found.faults[0].was_removed == removed


def test_a_damaged_explanation_is_removed(run: Path) -> None:
    path = run / "explain/integrated-gradients/score/s00a/explanation.json"
    path.write_text("{")
    assert [fault.was_removed for fault in verify(paths=[run], repair=True)[0].faults] == [True]
    assert not path.parent.exists()


def test_bundles_and_encoders_are_known_by_what_they_hold(run: Path, tmp_path: Path) -> None:
    load_encoder("colour").save(tmp_path / "e.safetensors")
    found = verify(paths=[run / "bundle", tmp_path / "e.safetensors"])
    assert [(each.kind, each.faults) for each in found] == [("bundle", ()), ("encoder", ())]
    (tmp_path / "e.safetensors").write_bytes(b"damaged")
    assert verify(paths=[tmp_path / "e.safetensors"])[0].faults


@pytest.mark.parametrize(
    ("name", "words"), [("none", "no such file"), (".", "no store, finished run or bundle")]
)
def test_what_is_none_of_them_is_refused(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=words):
        verify(paths=[tmp_path / name])


def test_the_command_line_names_what_is_damaged(cohort: Path) -> None:
    store = cohort / "store"
    flip(store / "s03a.zarr/features/c/0/0/0")
    shown = CliRunner().invoke(histonic, ["verify", str(store)])
    assert shown.exit_code == 1 and "damaged  " in shown.output and "s03a.zarr" in shown.output
    shown = CliRunner().invoke(histonic, ["verify", str(store), "--repair"])
    assert shown.exit_code == 0 and "removed  " in shown.output
    assert CliRunner().invoke(histonic, ["verify", str(store)]).exit_code == 0
