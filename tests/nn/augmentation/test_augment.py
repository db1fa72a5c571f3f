"""Levels of augmentation: ranges, statistics of what is drawn, reproducibility, independence of tiles."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from histonic.core.errors import TrainingError
from histonic.nn.augmentation.augment import AUGMENT_LEVELS, AugmentRule, augment
from histonic.nn.stain import separate_stains, stain_matrix

LEVELS = sorted(AUGMENT_LEVELS)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def tiles() -> torch.Tensor:
    return torch.rand(5, 3, 24, 24, generator=generator(9))


def test_none_changes_nothing(tiles: torch.Tensor) -> None:
    before = generator().get_state()
    drawn = generator()
    assert torch.equal(augment(tiles, AUGMENT_LEVELS["none"], drawn), tiles)
    assert torch.equal(drawn.get_state(), before)


def test_the_levels_are_those_of_the_paper_each_upon_the_one_before() -> None:
    base = AUGMENT_LEVELS["bc"]
    assert (base.scale, base.elastic_alpha, base.elastic_sigma_px) == (0.2, (80, 120), (9, 11))
    assert (base.noise, base.brightness, base.contrast) == (0.1, 0.35, 0.5)
    assert AUGMENT_LEVELS["basic"] == AugmentRule(orient=True)
    assert dataclasses.replace(AUGMENT_LEVELS["morphology"], brightness=0.35, contrast=0.5) == base
    for name, reach in (("light", 0.1), ("strong", 1.0)):
        assert AUGMENT_LEVELS[f"hsv-{name}"] == dataclasses.replace(base, hue=reach, saturation=reach)
    for name, reach in (("light", 0.05), ("strong", 0.2)):
        assert AUGMENT_LEVELS[f"hed-{name}"] == dataclasses.replace(base, stain=reach)


@pytest.mark.parametrize("level", LEVELS)
def test_range_type_and_shape_are_kept_and_the_input_untouched(level: str, tiles: torch.Tensor) -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        given = tiles.to(dtype)
        kept = given.clone()
        found = augment(given, AUGMENT_LEVELS[level], generator())
        assert found.shape == given.shape and found.dtype == dtype
        assert found.min() >= 0 and found.max() <= 1
        assert torch.equal(given, kept)
        assert not found.requires_grad


@pytest.mark.parametrize("level", [level for level in LEVELS if level != "none"])
def test_the_same_seed_gives_the_same_tiles_another_seed_others(level: str, tiles: torch.Tensor) -> None:
    rule = AUGMENT_LEVELS[level]
    first = augment(tiles, rule, generator(1))
    assert torch.equal(first, augment(tiles, rule, generator(1)))
    assert torch.equal(
        first, augment(tiles.contiguous(memory_format=torch.channels_last), rule, generator(1))
    )
    assert not torch.equal(first, augment(tiles, rule, generator(2)))


@pytest.mark.parametrize("level", ["morphology", "hsv-strong", "hed-strong"])
def test_copies_of_a_tile_become_different_tiles(level: str, tiles: torch.Tensor) -> None:
    found = augment(tiles[:1].repeat(6, 1, 1, 1), AUGMENT_LEVELS[level], generator())
    for one in range(6):
        for other in range(one):
            assert (found[one] - found[other]).abs().mean() > 0.01


def test_a_tile_does_not_depend_on_the_pixels_beside_it(tiles: torch.Tensor) -> None:
    other = tiles.clone()
    other[1:] = 0.5
    rule = AUGMENT_LEVELS["hed-strong"]
    assert torch.equal(augment(tiles, rule, generator())[0], augment(other, rule, generator())[0])


def test_large_batches_in_parts_have_chance_of_their_own() -> None:
    many = torch.rand(1, 3, 128, 128, generator=generator()).repeat(40, 1, 1, 1)
    found = augment(many, AUGMENT_LEVELS["basic"], generator())
    assert len({one.numpy().tobytes() for one in found}) == 8


def uniform(found: torch.Tensor, low: float, high: float, slack: float = 1e-3) -> None:
    """Whether values fill a range evenly: ends, mean, deviation, and the ten tenths."""
    width = high - low
    assert found.min() >= low - slack * width and found.max() <= high + slack * width
    assert found.mean().item() == pytest.approx((low + high) / 2, abs=0.03 * width)
    assert found.std().item() == pytest.approx(width / 12**0.5, rel=0.05)
    counts = torch.histc(found.float(), 10, low, high)
    wanted = len(found) / 10
    # Chi-squared with 9 degrees of freedom: 27.9 is exceeded once in a thousand.
    assert ((counts - wanted) ** 2 / wanted).sum() < 27.9


def test_brightness_and_contrast_of_tiles_fill_their_ranges() -> None:
    tile = torch.tensor([0.3, 0.4, 0.5]).view(1, 3, 1, 1).expand(3000, 3, 2, 2)
    found = augment(tile, AugmentRule(brightness=0.35, contrast=0.5), generator())[:, :, 0, 0]
    bright = found.mean(dim=1) / 0.4
    uniform(bright, 0.65, 1.35)
    uniform((found[:, 2] - found[:, 0]) / 0.2 / bright, 0.5, 1.5)


def test_stains_of_tiles_are_multiplied_and_added_to_independently() -> None:
    """Two shades of one tile tell the factor from the addend."""
    amounts = torch.tensor([[0.5, 0.6, 0.5], [0.9, 1.1, 0.9]])
    tile = torch.exp(-amounts @ stain_matrix().float()).T.reshape(1, 3, 1, 2).expand(1, 3, 2, 2)
    found = augment(tile.repeat(3000, 1, 1, 1), AugmentRule(stain=0.2), generator())
    after = separate_stains(found)[:, :, 0]
    factor = (after[:, :, 1] - after[:, :, 0]) / (amounts[1] - amounts[0])
    addend = after[:, :, 0] - factor * amounts[0]
    for stain in range(3):
        uniform(factor[:, stain], 0.8, 1.2)
        uniform(addend[:, stain], -0.2, 0.2)
    together = torch.corrcoef(torch.cat([factor, addend], dim=1).T) - torch.eye(6)
    assert together.abs().max() < 0.08


def test_noise_has_deviations_of_zero_to_its_most() -> None:
    found = augment(torch.full((1500, 3, 24, 24), 0.5), AugmentRule(noise=0.1), generator())
    # The deviation of 1728 values is known to 1.7 %.
    uniform(found.flatten(1).std(dim=1), 0.0, 0.1, slack=0.06)
    assert found.mean().item() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("count", [1, 3, 9])
def test_noise_of_two_tiles_has_nothing_in_common(count: int) -> None:
    found = augment(torch.full((count, 3, 64, 64), 0.5), AugmentRule(noise=0.1), generator(4))
    noise = (found - 0.5).flatten(1)
    assert (noise.abs().amax(dim=1) > 0).all()
    together = torch.corrcoef(noise).reshape(count, count) - torch.eye(count)
    assert together.abs().max() < 5 / (3 * 64 * 64) ** 0.5


def test_hue_turns_the_whole_circle_at_strong() -> None:
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(3000, 3, 2, 2)
    found = augment(red, AugmentRule(hue=1.0), generator())[:, :, 0, 0]
    largest = found.argmax(dim=1)
    assert torch.bincount(largest).float().div(3000).sub(1 / 3).abs().max() < 0.04


def test_lengths_follow_the_tile() -> None:
    """Half a tile's side: half the blur in pixels."""
    spread = []
    for side in (128, 64):
        step = torch.zeros(40, 3, side, side)
        step[..., side // 2 :] = 1
        found = augment(step, AugmentRule(blur_px=4.0), generator())
        share = found[:, 0, side // 2]
        spread.append((share * (1 - share)).sum(dim=1).mean().item() / side)
    assert spread[0] == pytest.approx(spread[1], rel=0.1)


def test_autocast_moves_pixels_as_exactly(tiles: torch.Tensor) -> None:
    wanted = augment(tiles, AUGMENT_LEVELS["hed-strong"], generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = augment(tiles, AUGMENT_LEVELS["hed-strong"], generator())
    assert torch.equal(found, wanted)


def test_an_empty_batch_stays_empty() -> None:
    assert augment(torch.zeros(0, 3, 8, 8), AUGMENT_LEVELS["bc"], generator()).shape == (0, 3, 8, 8)


@pytest.mark.parametrize(
    ("unfit", "found"),
    [
        (torch.zeros(2, 3, 8, 9), r"shape \(2, 3, 8, 9\)"),
        (torch.zeros(2, 8, 8, 3), r"shape \(2, 8, 8, 3\)"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "uint8"),
    ],
)
def test_other_input_is_refused(unfit: torch.Tensor, found: str) -> None:
    with pytest.raises(TrainingError, match=found):
        augment(unfit, AUGMENT_LEVELS["bc"], generator())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(tiles: torch.Tensor) -> None:
    rule, drawn = AUGMENT_LEVELS["hed-strong"], [torch.Generator("cuda").manual_seed(3) for _ in range(2)]
    first, second = (augment(tiles.cuda(), rule, each) for each in drawn)
    assert first.is_cuda and first.max() <= 1
    assert torch.allclose(first, second, atol=1e-5)
