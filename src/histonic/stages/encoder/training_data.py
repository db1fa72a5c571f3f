"""How an encoder learns from tiles: batches over sets, augmentation on the device, validation by task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from histonic.core.processes.prefetch import prefetched
from histonic.data.tilesets.neighbours import count_touching
from histonic.encoders.objectives.base import SAME, Objective, Outputs, Targets
from histonic.nn.augmentation.augment import AugmentRule, augment
from histonic.nn.losses import ValidationResult
from histonic.nn.pixels import unit_pixels
from histonic.training.loop import TrainingData
from histonic.training.seeds import seeded

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from histonic.core.task import Task
    from histonic.data.tilesets.tile_set import TileSet

BATCHES_AHEAD = 4
MOST_VALIDATED = 1000
"""Validation tiles of a set that are looked at after every epoch."""
VALIDATED_AT_ONCE = 64
NEAR_SHARE = 0.75
"""Share of the pairs of two places whose places are neighbours (Tellez et al. 2019)."""
ROW = "row of the tile"
WARMUP_RATE = 1e-3
IntArray = npt.NDArray[np.int64]


class TrainingModule(nn.Module):
    """An objective behind what happens to tiles on the device: bytes to numbers, averaging, augmentation.

    Args:
        objective: What learns.
        rule: How strongly tiles are augmented.
        working_px: Side to which tiles are averaged first, as the trunk would do itself.
    """

    def __init__(self, objective: Objective, rule: AugmentRule, working_px: int) -> None:
        super().__init__()
        self.objective = objective
        self.rule = rule
        self.working_px = working_px

    def forward(self, seed: Tensor, *tiles: Tensor) -> Outputs:
        """Outputs of the objective.

        Args:
            seed: Of this batch's augmentation, one whole number.
            tiles: uint8 ``(B, H, W, 3)``.
        """
        generator = torch.Generator(tiles[0].device).manual_seed(int(seed))
        outputs: Outputs = self.objective(*(self.prepared(part, generator) for part in tiles))
        return outputs

    @torch.no_grad()
    def prepared(self, tiles: Tensor, generator: torch.Generator) -> Tensor:
        """Tiles as the trunk takes them, float ``(B, 3, working_px, working_px)`` of -1..1."""
        pixels = unit_pixels(tiles, self.working_px)
        # Two views of a tile are two only if they are augmented, also in validation.
        if self.training or self.objective.shows != "tile":
            # Averaging would have averaged the noise of the whole tile too.
            quieter = self.rule.noise * self.working_px / tiles.shape[1]
            pixels = augment(pixels, replace(self.rule, noise=quieter), generator)
        return pixels.mul(2).sub(1).contiguous(memory_format=torch.channels_last)


class TileSampler:
    """Which tiles come into a batch: for each place a set drawn uniformly, then a tile of it.

    Args:
        sets: Tile sets.
        balance: Draw a class first, then a tile of it, where the set's first task has classes.
    """

    def __init__(self, sets: Sequence[TileSet], balance: bool) -> None:
        self.sets = sets
        self.starts = np.cumsum([0, *(len(each.tiles) for each in sets)])
        self.pools = [_pools(each, balance) for each in sets]
        self.touching = [_touching(each) for each in sets]

    def rows(self, rng: np.random.Generator, batch: int) -> IntArray:
        """``(batch,)`` rows over all sets, one after the other."""
        chosen = np.sort(rng.integers(len(self.sets), size=batch))
        found = np.empty(batch, np.int64)
        for index, pools in enumerate(self.pools):
            places = np.flatnonzero(chosen == index)
            classes = rng.integers(len(pools), size=len(places))
            for place, number in zip(places, classes, strict=True):
                found[place] = self.starts[index] + pools[number][rng.integers(len(pools[number]))]
        return found

    def pairs(
        self, rows: IntArray, same: npt.NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[IntArray, IntArray]:
        """First and second tile of each pair: twice the same, two that touch, or two of two groups.

        Of the pairs of two places :data:`NEAR_SHARE` touch; where the tile that was drawn touches none,
        another one of its set and split that does is taken for it. In a set without known places every pair
        of two places is of two groups.

        Args:
            rows: ``(B,)`` as drawn.
            same: ``(B,)`` which pairs show one place.
            rng: Of what is drawn.
        """
        first, second = rows.copy(), rows.copy()
        for place in np.flatnonzero(~same):
            index = int(np.searchsorted(self.starts, rows[place], side="right")) - 1
            each, own = self.sets[index], int(rows[place] - self.starts[index])
            candidates = self.touching[index].get(str(each.split[own]), ())
            if len(candidates) and rng.random() < NEAR_SHARE:
                if not (each.neighbours[own] >= 0).any():
                    own = int(candidates[rng.integers(len(candidates))])
                beside = each.neighbours[own][each.neighbours[own] >= 0]
                other = int(beside[rng.integers(len(beside))])
            else:
                other = _elsewhere(each, own, self.pools[index], rng)
            first[place], second[place] = self.starts[index] + own, self.starts[index] + other
        return first, second


def _pools(each: TileSet, balance: bool) -> list[IntArray]:
    """Training rows of a set, apart by class where classes are balanced."""
    rows = each.rows("train")
    if not (balance and each.tasks and each.tasks[0].is_classification):
        return [rows]
    values = each.targets[each.tasks[0].name][rows]
    return [rows[values == value] for value in np.unique(values[~np.isnan(values)])]


def _touching(each: TileSet) -> dict[str, IntArray]:
    """By split the rows of a set that touch another tile; splits without any are left out."""
    rows = {split: each.rows(split) for split in ("train", "val")}
    kept = {split: own[(each.neighbours[own] >= 0).any(axis=1)] for split, own in rows.items()}
    return {split: own for split, own in kept.items() if len(own)}


def pair_facts(each: TileSet) -> dict[str, int | float]:
    """What the pairs of a set are: its training tiles, those of known place, those that touch another.

    ``touching_share`` is the share of the pairs of two places that touch.
    """
    rows = each.rows("train")
    touching = count_touching(each.neighbours, rows)
    return {
        "train_tiles": len(rows),
        "of_known_place": int(each.placed[rows].sum()),
        "touching": touching,
        "touching_share": NEAR_SHARE if touching else 0.0,
    }


def pair_words(name: str, facts: Mapping[str, int | float]) -> str:
    """The same as a sentence."""
    tiles = int(facts["train_tiles"])
    if not facts["of_known_place"]:
        return (
            f"{name}: where its {tiles} training tiles lie on their slides is not known; no pair of two "
            "places touches, all are of two groups"
        )
    touching = int(facts["touching"])
    return (
        f"{name}: {touching} of {tiles} training tiles ({touching / tiles:.0%}) touch another; "
        f"{facts['touching_share']:.0%} of the pairs of two places touch, the others are of two groups"
    )


def _elsewhere(each: TileSet, own: int, pools: list[IntArray], rng: np.random.Generator) -> int:
    group = each.group[own]
    other = own
    for _ in range(20):  # a set of one group has no other
        pool = pools[rng.integers(len(pools))]
        other = int(pool[rng.integers(len(pool))])
        if other != own and (not group or each.group[other] != group):
            break
    return other


class TileTrainingData(TrainingData):
    """Training data from tile sets.

    Args:
        sets: Tile sets; those without tasks are shown to objectives that need no labels.
        module: What learns.
        batch: Tiles in a batch.
        steps: Steps in an epoch.
        keys: What makes this training's chance its own.
        balance: Draw the classes of a task equally often.
        warmup_epochs: First epochs, in which the trunk is frozen.
        head_rate: Learning rate of all that is not the trunk, times that of the trunk.
    """

    def __init__(
        self,
        sets: Sequence[TileSet],
        module: TrainingModule,
        *,
        batch: int,
        steps: int,
        keys: tuple[int, ...],
        balance: bool = True,
        warmup_epochs: int = 0,
        head_rate: float = 1.0,
    ) -> None:
        self.sets = sets
        self.module = module
        self.objective = module.objective
        self.batch = batch
        self.steps = steps
        self.keys = keys
        self.warmup_epochs = warmup_epochs
        self.head_rate = head_rate
        self.draws = TileSampler(sets, balance)
        self.tasks: list[Task] = [task for each in sets for task in each.tasks]
        self.validation_rows = self._validation_rows()

    def batches(
        self, epoch: int, rank: int, world: int
    ) -> Iterator[tuple[tuple[Tensor, ...], dict[str, Tensor]]]:
        """Tiles of an epoch, read ahead in a thread."""
        ahead = prefetched(self._batches(epoch, rank, world), BATCHES_AHEAD)
        with closing(ahead):  # type: ignore[type-var]
            yield from ahead

    def _batches(
        self, epoch: int, rank: int, world: int
    ) -> Iterator[tuple[tuple[Tensor, ...], dict[str, Tensor]]]:
        rng = seeded(*self.keys, epoch)
        # Of its own, so that each process draws as many numbers for the batch as the others.
        squares = seeded(*self.keys, epoch, 2, rank)
        share = self.batch // world
        mine = slice(rank * share, (rank + 1) * share)
        for _ in range(self.steps):
            rows = self.draws.rows(rng, share * world)
            # Sets lie side by side in a batch: dealing it out gives every rank of each.
            rows = np.concatenate([rows[start::world] for start in range(world)])
            inputs, targets = self._shown(rows, rng, mine, squares)
            seed = torch.tensor(int(rng.integers(1 << 62)) + rank)
            yield (seed, *inputs), targets

    def _shown(
        self,
        rows: IntArray,
        rng: np.random.Generator,
        mine: slice,
        squares: np.random.Generator | None = None,
    ) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        """Tiles of the rows, twice where the objective wants two, and all targets."""
        if self.objective.shows == "pair":
            same = rng.permutation(np.arange(len(rows)) % 2 == 0)
            rows, partners = self.draws.pairs(rows, same, rng)
            first, second = self.tiles(rows[mine], squares), self.tiles(partners[mine], squares)
            # Two views of one place are of one square.
            one = torch.from_numpy(same[mine])
            second[one] = first[one]
            return (first, second), {
                **self.targets(rows),
                SAME: torch.from_numpy(same.astype(np.float32)),
            }
        first = self.tiles(rows[mine], squares)
        return (first,) if self.objective.shows == "tile" else (first, first), self.targets(rows)

    def tiles(self, rows: IntArray, squares: np.random.Generator | None = None) -> Tensor:
        """Uint8 ``(N, H, W, 3)``: each tile's centre, or a random square of it where it is larger.

        Args:
            rows: ``(N,)`` rows over all sets.
            squares: Draws the squares; None: the centres.
        """
        index = np.searchsorted(self.draws.starts, rows, side="right") - 1
        parts = []
        for each, row in zip(index, rows, strict=True):
            tiles, own = self.sets[each], int(row - self.draws.starts[each])
            wide = tiles.wide
            parts.append(tiles.tiles[own] if squares is None or wide is None else wide.square(own, squares))
        return torch.from_numpy(np.stack(parts))

    def targets(self, rows: IntArray) -> dict[str, Tensor]:
        """Per task ``(N,)``, NaN for tiles of other sets; and the rows themselves."""
        found = {ROW: torch.from_numpy(rows)}
        for each, start in zip(self.sets, self.draws.starts, strict=False):
            own = (rows >= start) & (rows < start + len(each.tiles))
            for task in each.tasks:
                values = np.full(len(rows), np.nan, np.float32)
                values[own] = each.targets[task.name][rows[own] - start]
                found[task.name] = torch.from_numpy(values)
        return found

    def loss(self, outputs: Outputs, targets: Mapping[str, Tensor]) -> Tensor:
        """That of the objective."""
        return self.objective.loss(outputs, targets)

    def _validation_rows(self) -> IntArray:
        """Validation rows, at most :data:`MOST_VALIDATED` of a set, always the same."""
        rng = seeded(*self.keys, 0)
        parts = []
        for each, start in zip(self.sets, self.draws.starts, strict=False):
            rows = each.rows("val")
            parts.append(start + np.sort(rng.permutation(rows)[:MOST_VALIDATED]))
        # Mixed, because two views are told from the others of their batch.
        return rng.permutation(np.concatenate(parts)) if parts else np.empty(0, np.int64)

    @torch.no_grad()
    def predict(self, network: nn.Module, fabric: Fabric) -> tuple[Outputs, Targets]:
        """Outputs and targets of the validation tiles; what is drawn for them is the same at each call."""
        rng = seeded(*self.keys, 0, 1)
        outputs: list[Outputs] = []
        targets: list[dict[str, Tensor]] = []
        for start in range(0, len(self.validation_rows), VALIDATED_AT_ONCE):
            rows = self.validation_rows[start : start + VALIDATED_AT_ONCE]
            inputs, wanted = self._shown(rows, rng, slice(None))
            seed = torch.tensor(int(rng.integers(1 << 62)))
            with fabric.autocast():
                found = network(seed, *(fabric.to_device(part) for part in inputs))
            outputs.append({name: value.float().cpu() for name, value in found.items()})
            targets.append(wanted)
        return _joined(outputs), _joined(targets)

    def calibrate(self, predictions: tuple[Outputs, Targets]) -> None:
        """As the objective does it."""
        self.objective.calibrate(*predictions)

    def validate(self, predictions: tuple[Outputs, Targets]) -> ValidationResult:
        """The objective's result on the validation tiles."""
        return self.objective.validate(*predictions)

    def parts(self, network: nn.Module) -> dict[str, list[nn.Parameter]]:
        """Trunk, which warm-up freezes, and rest."""
        return self.objective.groups()

    def begin(self, network: nn.Module, epoch: int, rate: float) -> Mapping[str, float]:
        """Freeze the trunk in the warm-up: its rate is 0 and its batch normalisation in evaluation mode."""
        if epoch <= self.warmup_epochs:
            self.objective.encoder.eval()
            return {"trunk": 0.0, "rest": WARMUP_RATE}
        return {"rest": rate * self.head_rate}

    def blame(self, outputs: Outputs, targets: Mapping[str, Tensor]) -> str:
        """The tasks and the first tile whose outputs are not finite."""
        bad = torch.zeros(len(targets[ROW]), dtype=torch.bool)
        names = []
        for name, values in outputs.items():
            wrong = ~torch.isfinite(values.detach().float().cpu()).flatten(1).all(dim=1)
            if name in targets:
                wrong &= ~torch.isnan(targets[name].cpu())
            if wrong.any():
                names.append(name)
                bad |= wrong
        if not names:
            return "All outputs are finite."
        row = int(targets[ROW].cpu()[bad][0])
        index = int(np.searchsorted(self.draws.starts, row, side="right")) - 1
        path = self.sets[index].paths[row - int(self.draws.starts[index])]
        return f"Not finite: {', '.join(sorted(names))}; first at {self.sets[index].plan.name}: {path}."


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in (parts[0] if parts else {})}
