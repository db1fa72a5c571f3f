"""Digits from MNIST's files as they are kept, and parts that share none."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from histonic.core.errors import SettingsError
from histonic.simulate.low_signal.digits import read_digits


def write_mnist(folder: Path, train: int = 60, test: int = 20, join: str = "-", packed: bool = False) -> None:
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for stem, count in (("train", train), ("t10k", test)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        images[:, 0, 0] = np.arange(count)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for kind, head, data in (
            ("images{}idx3", struct.pack(">4I", 2051, count, 28, 28), images),
            ("labels{}idx1", struct.pack(">2I", 2049, count), labels),
        ):
            path = folder / f"{stem}-{kind.format(join)}-ubyte{'.gz' if packed else ''}"
            content = head + data.tobytes()
            path.write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize(("join", "packed"), [("-", False), (".", False), ("-", True)])
def test_mnist_in_its_own_files(join: str, packed: bool, tmp_path: Path) -> None:
    write_mnist(tmp_path, join=join, packed=packed)
    digits = read_digits(tmp_path)
    assert [len(part.labels) for part in digits.values()] == [55, 5, 20]
    # A twelfth of the training file, its beginning, is for validation.
    assert digits["val"].images[:, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert digits["train"].images[0, 0, 0] == 5 and digits["test"].labels.tolist() == [*range(10)] * 2
    assert digits["train"].of(3).tolist() == [8, 18, 28, 38, 48] and digits["train"].source == "MNIST"


def test_the_digits_of_scikit_learn_are_in_one_part_only() -> None:
    parts = read_digits(side_px=8)
    seen = [{each.tobytes() for each in part.images} for part in parts.values()]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    assert sum(len(part.labels) for part in parts.values()) == 1797
    assert read_digits(side_px=8, seed=1)["train"].images[0].tobytes() != parts["train"].images[0].tobytes()


def test_a_side_made_smaller_keeps_the_ink() -> None:
    large, small = read_digits(side_px=28)["val"].images, read_digits(side_px=14)["val"].images
    assert large.shape[1:] == (28, 28) and small.shape[1:] == (14, 14)
    assert abs(large.mean() - small.mean()) < 6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: path.unlink(), "no train-images-idx3-ubyte"),
        (lambda path: path.write_bytes(b"\0\0"), "cannot be read"),
        (lambda path: path.write_bytes(struct.pack(">4I", 9, 1, 28, 28)), "begins with 9"),
        (lambda path: path.write_bytes(struct.pack(">4I", 2051, 2**31, 28, 28)), "no IDX file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "ends after"),
        (lambda path: path.write_bytes(struct.pack(">4I", 2051, 1, 2, 2) + b"1234"), "1 images"),
    ],
)
def test_other_files_are_refused(change, words: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write_mnist(tmp_path)
    change(tmp_path / "train-images-idx3-ubyte")
    with pytest.raises(SettingsError, match=words):
        read_digits(tmp_path)


def test_a_cut_archive_is_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path, packed=True)
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(SettingsError, match=r"t10k-images.*\n.*cannot be read"):
        read_digits(tmp_path)
