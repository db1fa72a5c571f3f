"""Encoders registered in a session: functions and networks, their fingerprints and files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from histonic.core.errors import EncoderError
from histonic.encoders.base import ENCODERS, load_encoder
from histonic.encoders.session import register_encoder


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 8, stride=8)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return self.norm(self.layer(tiles)).mean((2, 3))


@pytest.fixture
def name() -> Iterator[str]:
    yield "test-own"
    ENCODERS.forget("test-own")


def tiles(count: int, side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def beside_a_huge_column(count: int) -> np.ndarray:
    return np.hstack([np.full((count, 1), 1e4), np.random.default_rng().normal(size=(count, 15))])


def test_what_bfloat16_rounds_otherwise_in_another_batch_is_taken(name: str) -> None:
    weights = np.random.default_rng(0).normal(size=(3, 64))
    noise = np.random.default_rng(1).uniform(-1, 1, 64)

    def rounded(given: np.ndarray) -> np.ndarray:
        codes = (given.mean((1, 2)) / 255 - 0.3) @ weights
        return codes + 5.4e-3 * np.abs(codes).max() * noise * (len(given) == 1)

    assert register_encoder(name, rounded, tile_px=32).code_size == 64


def test_a_function_gives_codes_and_its_code_counts(name: str) -> None:
    spec = register_encoder(name, lambda given: given.mean((1, 2)), tile_px=32)
    assert (spec.code_size, spec.tile_px) == (3, 32)
    encoder = load_encoder(name)
    np.testing.assert_allclose(encoder.encode(tiles(5)), tiles(5).mean((1, 2)), rtol=1e-6)
    before = encoder.fingerprint
    register_encoder(name, lambda given: given.mean((1, 2)) + 1, tile_px=32)
    assert load_encoder(name).fingerprint != before


def test_what_a_function_reaches_counts_too(name: str) -> None:
    found = set()
    for factor in (1, 2):
        register_encoder(name, lambda given, by=factor: given.mean((1, 2)) * by, tile_px=32)
        found.add(load_encoder(name).fingerprint)
    assert len(found) == 2


def test_how_a_network_is_put_together_counts(name: str) -> None:
    torch.manual_seed(0)
    base, found = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), set()
    for last in (nn.ReLU(), nn.Tanh()):
        register_encoder(name, nn.Sequential(base, last), tile_px=32)
        found.add(load_encoder(name).fingerprint)
    assert len(found) == 2


def test_a_network_runs_in_evaluation_mode_on_0_to_1(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Small()
    register_encoder(name, network, tile_px=32)
    assert network.training, "the network of the session is left as it is"
    encoder, given = load_encoder(name), tiles(3)
    with torch.inference_mode():
        network.eval()
        wanted = network(torch.from_numpy(given).permute(0, 3, 1, 2) / 255)
    np.testing.assert_allclose(encoder.encode(given), wanted.numpy(), rtol=1e-5, atol=1e-6)
    encoder.save(tmp_path / "e.safetensors")
    again = load_encoder(tmp_path / "e.safetensors")
    assert again.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(again.encode(given), encoder.encode(given))


def test_other_code_of_the_same_name_does_not_read_the_file(name: str, tmp_path: Path) -> None:
    register_encoder(name, lambda given: given.mean((1, 2)), tile_px=32)
    load_encoder(name).save(tmp_path / "e.safetensors")
    register_encoder(name, lambda given: given.max((1, 2)), tile_px=32)
    with pytest.raises(EncoderError, match="other code or geometry"):
        load_encoder(tmp_path / "e.safetensors")


@pytest.mark.parametrize(
    ("network", "found"),
    [
        (lambda given: given.mean(3), r"shape \(2, 32, 32\)"),
        (lambda given: given.mean((1, 2)) / 0, "not finite"),
        (lambda given: given["a"], "it failed: IndexError"),
        (lambda given: given.mean((1, 2)).squeeze(), r"For one tile it gave an array of shape \(3,\)"),
        (lambda given: given.mean((1, 2)) - given.mean((0, 1, 2)), "a tile alone it gave other codes"),
        (lambda given: given.mean((1, 2)) + given.mean((0, 1, 2)), "a tile alone it gave other codes"),
        (lambda given: beside_a_huge_column(len(given)), "a second time it gave other"),
        (lambda given: np.random.default_rng().normal(size=(len(given), 3)), "a second time it gave other"),
        (lambda given: torch.nn.functional.dropout(torch.ones(len(given), 9)), "a second time it gave other"),
        (lambda given: np.ma.masked_less(given.mean((1, 2)), 99), "values that are not finite"),
        (
            lambda given: [[0 // int(tile.std())] for tile in given],
            "On plain and tissue-like tiles it failed: Zero",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_slips_are_named_when_it_is_registered(name: str, network: Any, found: str) -> None:
    with pytest.raises(EncoderError, match=found):
        register_encoder(name, network, tile_px=32)
    assert name not in ENCODERS


@pytest.mark.parametrize(
    "network",
    [
        lambda given: np.zeros((len(given), 3)),
        lambda given: 1 + given.mean((1, 2)) / 255**2.5,
        nn.Sequential(nn.Flatten(), nn.Linear(3072, 4), nn.Threshold(9, 0)),
    ],
    ids=["zeros", "half precision", "cut off"],
)
def test_one_code_for_all_tiles_is_taken_with_a_word(name: str, network: Any) -> None:
    with pytest.warns(UserWarning, match=f"{name}.*one code for all tiles that it was tried on") as told:
        register_encoder(name, network, tile_px=32)
    assert name in ENCODERS and told[0].filename == __file__


def nuclei(given: np.ndarray, least: int = 9) -> np.ndarray:
    """How many dark blobs there are, once noise and large areas are smoothed or left out."""
    dark = [ndimage.gaussian_filter(tile.mean(2), 1.5) < 100 for tile in given]
    sizes = [np.bincount(ndimage.label(each)[0].ravel())[1:] for each in dark]
    return np.array([[((each >= least) & (each < 400)).sum()] for each in sizes], float)


def brown(given: np.ndarray) -> np.ndarray:
    smooth = ndimage.gaussian_filter(given.astype(float), (0, 3, 3, 0))
    red, green, blue = np.moveaxis(smooth, 3, 0)
    return ((red > green + 35) & (green > blue + 15)).mean((1, 2))[:, None]


def texture(given: np.ndarray) -> np.ndarray:
    """One-hot: bright and uneven, or anything else."""
    smooth = ndimage.gaussian_filter(given.mean(3), (0, 2, 2))
    is_uneven = (smooth.std((1, 2)) > 8) & (smooth.mean((1, 2)) > 170)
    return np.stack([is_uneven, ~is_uneven], 1) * 1.0


@pytest.mark.parametrize("network", [nuclei, brown, texture])
@pytest.mark.parametrize("tile_px", [64, 128])
@pytest.mark.filterwarnings("error::UserWarning")
def test_an_encoder_of_what_tissue_alone_shows_is_taken(name: str, network: Any, tile_px: int) -> None:
    noise = tiles(2, tile_px) // np.array([1, 4], np.uint8)[:, None, None, None]
    assert len(np.unique(network(noise), axis=0)) == 1, "noise has to show nothing"
    register_encoder(name, network, tile_px=tile_px)


def test_what_a_function_of_tissue_reaches_counts_too(name: str) -> None:
    found = set()
    for least in (9, 200):
        register_encoder(name, partial_of(least), tile_px=64)
        found.add(load_encoder(name).fingerprint)
    assert len(found) == 2


def partial_of(least: int) -> Any:
    return lambda given: nuclei(given, least)


@pytest.mark.parametrize(
    "network",
    [
        lambda given: (given.mean((1, 2)) > 200) * 1.0,
        lambda given: (np.ptp(given, (1, 2)) == 0) * 1.0,
        lambda given: np.abs(np.diff(given.mean(1), axis=1)).max(1) > 50,
    ],
    ids=["white", "plain", "border"],
)
def test_an_encoder_of_what_noise_does_not_show_is_taken(name: str, network: Any) -> None:
    assert register_encoder(name, network, tile_px=32).code_size == 3


def test_codes_of_another_size_are_refused(name: str) -> None:
    register_encoder(name, lambda given: given.mean((1, 2))[:, : max(2, len(given))], tile_px=32)
    with pytest.raises(EncoderError, match="a code of 2 numbers"):
        load_encoder(name).encode(tiles(3))
