"""Training data from tiles: what is drawn, what is shown, what is frozen, and who is to blame."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from histonic.core.task import Task
from histonic.data.tilesets.pixels import WideTiles
from histonic.encoders.objectives.base import SAME, Objective, Outputs, Targets
from histonic.encoders.objectives.multitask import MultitaskObjective
from histonic.nn.augmentation.augment import AUGMENT_LEVELS
from histonic.nn.losses import ValidationResult
from histonic.stages.encoder.training_data import (
    ROW,
    TileSampler,
    TileTrainingData,
    TrainingModule,
    pair_facts,
    pair_words,
)
from histonic.training.devices import make_fabric

Maker = Callable[..., Any]


def tile_set(name: str, classes: int, counts: list[int], **facts: Any) -> Any:
    """A set whose tiles all show their own row in every pixel; ``counts`` tiles of each class."""
    labels = np.repeat(np.arange(classes), counts).astype(float)
    count = len(labels)
    kind = "binary" if classes == 2 else "multiclass"
    task = Task(name, kind, ("label",), tuple(f"c{number}" for number in range(classes)))  # type: ignore[arg-type]
    tiles = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 16, 16, 3)).copy()
    split = np.where(np.arange(count) % 4 == 0, "val", "train")
    found = {
        "plan": SimpleNamespace(name=name),
        "tasks": (task,),
        "tiles": tiles,
        "targets": {name: labels},
        "split": split,
        "group": np.array([f"g{row // 3}" for row in range(count)]),
        "paths": tuple(f"{name}/{row}.png" for row in range(count)),
        "neighbours": np.full((count, 4), -1),
        "placed": np.zeros(count, bool),
        "wide": None,
        **facts,
    }
    return SimpleNamespace(**found, rows=lambda which: np.flatnonzero(found["split"] == which))


SMALL = tile_set("small", 2, [8, 24])
LARGE = tile_set("large", 3, [100, 50, 10])


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def training_data(
    objective: Objective | None = None, sets: Any = (SMALL, LARGE), **options: Any
) -> TileTrainingData:
    tasks = [task for each in sets for task in each.tasks]
    module = TrainingModule(objective or MultitaskObjective(network(), 4, tasks), AUGMENT_LEVELS["none"], 16)
    return TileTrainingData(sets, module, **{"batch": 16, "steps": 3, "keys": (5,), **options})


def test_sets_come_equally_often_and_so_do_their_classes() -> None:
    draws = TileSampler([SMALL, LARGE], balance=True)
    rows = draws.rows(np.random.default_rng(0), 6000)
    assert np.mean(rows < 32) == pytest.approx(0.5, abs=0.03)
    labels = LARGE.targets["large"][rows[rows >= 32] - 32]
    assert np.bincount(labels.astype(int)) / len(labels) == pytest.approx([1 / 3] * 3, abs=0.03)
    assert set(SMALL.split[rows[rows < 32]]) == {"train"} == set(LARGE.split[rows[rows >= 32] - 32])


def test_without_balance_classes_come_as_often_as_they_are() -> None:
    rows = TileSampler([LARGE], balance=False).rows(np.random.default_rng(0), 6000)
    shares = np.bincount(LARGE.targets["large"][rows].astype(int)) / 6000
    train = LARGE.targets["large"][LARGE.rows("train")].astype(int)
    assert shares == pytest.approx(np.bincount(train) / len(train), abs=0.03)


def test_pairs_of_two_places_touch_or_are_of_two_groups() -> None:
    """Every second tile touches none: three quarters of the pairs touch all the same."""
    beside = np.full((40, 4), -1)
    beside[0::4, 0], beside[2::4, 1] = np.arange(2, 42, 4), np.arange(0, 40, 4)
    near = tile_set("near", 2, [20, 20], neighbours=beside, split=np.full(40, "train"))
    draws = TileSampler([SMALL, near], balance=False)
    rng = np.random.default_rng(0)
    rows = np.tile(np.arange(32, 72), 50)
    same = rng.random(len(rows)) < 0.5
    first, second = draws.pairs(rows, same, rng)
    assert (first[same] == rows[same]).all() and (second[same] == rows[same]).all()
    one, other = first[~same] - 32, second[~same] - 32
    touch = (beside[one] == other[:, None]).any(axis=1)
    assert touch.mean() == pytest.approx(0.75, abs=0.04)
    assert (near.group[one[~touch]] != near.group[other[~touch]]).all() and (one != other).all()
    assert (first[~same][~touch] == rows[~same][~touch]).all()  # only those that should touch are redrawn


def test_the_share_of_touching_pairs_is_told() -> None:
    beside = np.full((40, 4), -1)
    beside[1, 0], beside[2, 1] = 2, 1
    near = tile_set("near", 2, [20, 20], neighbours=beside, placed=np.ones(40, bool))
    facts = pair_facts(near)
    assert facts == {"train_tiles": 30, "of_known_place": 30, "touching": 2, "touching_share": 0.75}
    assert "2 of 30 training tiles (7%) touch another; 75%" in pair_words("near", facts)
    assert "is not known" in pair_words("small", pair_facts(SMALL))


def test_training_sees_random_squares_and_validation_the_centre() -> None:
    """Wide tiles hold their columns and rows as colours, so that a square tells where it was cut."""
    place = np.zeros((160, 24, 24, 3), np.uint8)
    place[..., 0], place[..., 1] = np.arange(24)[None, None], np.arange(24)[None, :, None]
    wide = WideTiles(place, np.full(160, 20), np.arange(160), 16)
    data = training_data(Recording("two views"), sets=(tile_set("wide", 3, [100, 50, 10], wide=wide),))
    (_, first, second), targets = next(iter(data.batches(1, 0, 1)))
    corners = first[:, 0, 0, :2]
    assert torch.equal(first, second) and int(corners.max()) == 4 and len(corners.unique(dim=0)) > 8
    assert torch.equal(first[:, -1, -1, :2], corners + 15)
    assert torch.equal(data.tiles(targets[ROW].numpy())[:, 0, 0, 0], targets[ROW].to(torch.uint8))


def test_batches_are_the_same_whenever_asked_and_differ_between_epochs() -> None:
    one = training_data()
    first, again, other = list(one.batches(1, 0, 1)), list(one.batches(1, 0, 1)), list(one.batches(2, 0, 1))
    assert len(first) == 3
    for (inputs, targets), (inputs_2, targets_2) in zip(first, again, strict=True):
        assert torch.equal(inputs[1], inputs_2[1]) and torch.equal(inputs[0], inputs_2[0])
        assert all(
            torch.equal(targets[name].nan_to_num(-1), targets_2[name].nan_to_num(-1)) for name in targets
        )
    assert not torch.equal(first[0][0][1], other[0][0][1])


def test_two_ranks_share_what_one_would_see() -> None:
    whole = [rows for _, rows in training_data().batches(1, 0, 1)]
    ranks = [list(training_data().batches(1, rank, 2)) for rank in (0, 1)]
    for step, targets in enumerate(whole):
        parts = [ranks[rank][step] for rank in (0, 1)]
        assert all(torch.equal(part[1][ROW], parts[0][1][ROW]) for part in parts)
        assert sorted(parts[0][1][ROW].tolist()) == sorted(targets[ROW].tolist())
        tiles = torch.cat([part[0][1] for part in parts])
        assert torch.equal(tiles, training_data().tiles(parts[0][1][ROW].numpy()))


def test_targets_of_other_sets_are_missing() -> None:
    one = training_data()
    targets = one.targets(np.array([0, 31, 32, 32 + 159]))
    assert targets["small"][:2].tolist() == [0, 1] and torch.isnan(targets["small"][2:]).all()
    assert targets["large"][2:].tolist() == [0, 2] and torch.isnan(targets["large"][:2]).all()


class Recording(Objective):
    """Keeps what it is shown."""

    def __init__(self, shows: str) -> None:
        super().__init__(network())
        self.shows = shows  # type: ignore[assignment]
        self.seen: list[tuple[Tensor, ...]] = []

    def forward(self, *tiles: Tensor) -> Outputs:
        self.seen.append(tiles)
        return {"code": self.encoder(tiles[0])}

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        return outputs["code"].sum() * 0

    def validate(self, outputs: Outputs, targets: Targets) -> ValidationResult:
        return ValidationResult(float(len(targets[ROW])))


def test_pairs_are_half_of_one_place() -> None:
    one = training_data(Recording("pair"), batch=64)
    (seed, first, second), targets = next(iter(one.batches(1, 0, 1)))
    same = targets[SAME].bool()
    assert int(same.sum()) == 32 and seed.ndim == 0
    assert torch.equal(first[same], second[same])
    assert not any(torch.equal(a, b) for a, b in zip(first[~same], second[~same], strict=True))


def test_two_views_of_a_tile_are_augmented_apart_also_when_judged() -> None:
    objective = Recording("two views")
    module = TrainingModule(objective, AUGMENT_LEVELS["hed-strong"], 16)
    tiles = torch.randint(0, 255, (4, 16, 16, 3), dtype=torch.uint8)
    module.eval()(torch.tensor(3), tiles, tiles)
    first, second = objective.seen[-1]
    assert not torch.allclose(first, second)
    module.eval()(torch.tensor(3), tiles, tiles)
    assert torch.equal(objective.seen[-1][0], first)


def test_tiles_are_scaled_averaged_and_augmented_in_training_only() -> None:
    objective = Recording("tile")
    module = TrainingModule(objective, AUGMENT_LEVELS["bc"], 8)
    tiles = torch.randint(0, 255, (4, 16, 16, 3), dtype=torch.uint8)
    module.eval()(torch.tensor(3), tiles)
    plain = objective.seen[-1][0]
    wanted = tiles.permute(0, 3, 1, 2).float().reshape(4, 3, 8, 2, 8, 2).mean((3, 5)) / 127.5 - 1
    assert torch.allclose(plain, wanted, atol=1e-5)
    module.train()(torch.tensor(3), tiles)
    assert not torch.allclose(objective.seen[-1][0], wanted, atol=1e-2)


def test_validation_looks_at_every_validation_tile_and_is_the_same_each_time() -> None:
    one = training_data(Recording("tile"))
    fabric = make_fabric("cpu")
    result = one.validate(one.predict(one.module.eval(), fabric))
    assert result.loss == (SMALL.split == "val").sum() + (LARGE.split == "val").sum()


@pytest.mark.parametrize("shrinkage", [0.3, 1.0])
def test_validating_twice_changes_nothing(shrinkage: float) -> None:
    one, fabric = training_data(), make_fabric("cpu")
    heads = one.objective.heads
    for head in (heads["small"], heads["large"]):  # type: ignore[operator, union-attr]
        nn.init.normal_(head.linear.weight)
        head.shrinkage.fill_(shrinkage)
    before = {name: value.clone() for name, value in one.module.state_dict().items()}
    first, second = (one.validate(one.predict(one.module.eval(), fabric)) for _ in range(2))
    assert first == second and set(first.scores) == {"small loss", "large loss"}
    assert all(torch.equal(value, before[name]) for name, value in one.module.state_dict().items())
    one.calibrate(one.predict(one.module, fabric))
    changed = [n for n, value in one.module.state_dict().items() if not torch.equal(value, before[n])]
    assert {name.rsplit(".")[-1] for name in changed} == {"shrinkage"}
    assert one.validate(one.predict(one.module, fabric)).loss < first.loss


def test_the_warm_up_freezes_the_trunk_with_its_norms() -> None:
    one = training_data(warmup_epochs=2, head_rate=5.0)
    one.module.train()
    assert one.begin(one.module, 2, 0.1) == {"trunk": 0.0, "rest": 1e-3}
    assert not any(part.training for part in one.objective.encoder.modules())
    one.module.train()
    assert one.begin(one.module, 3, 0.1) == {"rest": 0.5}
    assert one.objective.encoder.training
    parts = one.parts(one.module)
    assert len(parts["trunk"]) == 4 and len(parts["rest"]) == 4


def test_a_loss_that_is_not_finite_is_blamed_on_task_and_file() -> None:
    one = training_data()
    rows = np.array([0, 40, 50])
    outputs = {"small": torch.zeros(3, 1), "large": torch.zeros(3, 3)}
    outputs["large"][2, 1] = float("nan")
    outputs["small"][2, 0] = float("nan")  # of a tile that has no such label: not what went wrong
    assert one.blame(outputs, one.targets(rows)) == "Not finite: large; first at large: large/18.png."
