"""Fine-tuning a tile encoder through the loss of the slides: tiles, codes, map and slide network in one."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from histonic.aggregators.base import SlideModel, build_model
from histonic.core.compressed import CompressedSlide
from histonic.core.errors import EncoderError, SettingsError, TrainingError
from histonic.core.progress import Progress, heard
from histonic.core.task import Task
from histonic.data.maps.memory import memory_for_maps
from histonic.data.maps.store import Store
from histonic.encoders.base import load_encoder
from histonic.encoders.engines.halves import with_half_cosine
from histonic.encoders.foreign.torchscript import ScriptEncoder
from histonic.encoders.networks.convolutional import NetworkEncoder
from histonic.encoders.networks.projected import ProjectedEncoder
from histonic.nn.losses import joint_loss
from histonic.nn.streaming.tiles import stream_tiles
from histonic.slides.base import open_slide
from histonic.slides.tiles import walk_tiles
from histonic.stages.compress.stains import normaliser_of
from histonic.training.devices import deterministic, pick_device
from histonic.training.seeds import seeded, torch_seed

TILES_AT_ONCE = 256
COMPARED = 24
"""Tiles on which precisions are compared: a large network may take seconds a tile."""
ASKED = "Fine-tune an encoder through the loss of slides."


@dataclass(frozen=True)
class SlideTiles:
    """Tiles uint8 ``(N, H, H, 3)`` of a slide, and their cells ``(N, 2)`` in a map of ``shape``."""

    tiles: Tensor
    cells: npt.NDArray[np.int64]
    shape: tuple[int, int]


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned encoder.

    Attributes:
        path: Its file.
        losses: Mean loss of the slides of each epoch.
    """

    path: Path
    losses: tuple[float, ...]


def finetune_encoder(
    encoder: str | os.PathLike[str],
    store: str | os.PathLike[str],
    targets: Mapping[str, float],
    task: Task,
    out: str | os.PathLike[str],
    *,
    aggregator: str = "abmil",
    epochs: int = 5,
    batch: int = 4,
    learning_rate: float = 1e-5,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> FineTuned:
    """Train a tile encoder and a slide network together, from the pixels of slides to their labels.

    The encoder is the streamed part (:func:`histonic.nn.streaming.tiles.stream_tiles`): a slide's codes are
    computed some tiles at a time, the slide network gives their gradient, and the tiles are computed again
    for that of the encoder's weights, which is exact. Normalisation of the encoder keeps its statistics. The
    slide network begins anew and is thrown away; compress with the new encoder, then train as usual. Give
    slides of training patients only: a slide seen here is no test slide afterwards.

    Args:
        encoder: A name or file whose network is one of histonic's own, such as ``histonic-mtl``.
        store: Maps made with that encoder of slides that still lie where they lay; says which cells are
            tissue.
        targets: By slide_id, see :class:`~histonic.core.task.Task`; not survival.
        task: The target.
        out: The new encoder's file.
        aggregator: The slide network.
        epochs: Rounds over all slides.
        batch: Slides a step.
        learning_rate: Of the encoder; the slide network has its own default.
        seed: Of everything random.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: Listener to the progress.

    Raises:
        EncoderError: The encoder has no network that can be trained and saved, or is not that of the store.
        SettingsError: There are too few slides, or the tiles do not fit into the memory.
        SlideError: A slide is not where it lay, or cannot be read.
        StoreError: The store has no map of a slide.
        TrainingError: The loss is no longer finite.
    """
    listener, place = heard(progress), pick_device(device)
    opened = Store.open(store)
    # As the store was made: the fingerprint tells the precision, too, the weights are the same.
    loaded = load_encoder(encoder, device=place, precision=opened.settings.precision)
    if not isinstance(loaded, NetworkEncoder):
        raise EncoderError(ASKED, f"{loaded.spec.name!r} has no network of its own.", "Use histonic-mtl.")
    within: NetworkEncoder = loaded
    while isinstance(within, ProjectedEncoder):
        within = within.base
    if isinstance(within, ScriptEncoder):
        raise EncoderError(
            ASKED,
            f"{loaded.spec.name!r} is a TorchScript, whose weights cannot be saved anew.",
            "Import the model from its weights.",
        )
    if opened.encoder.fingerprint != loaded.fingerprint:
        raise EncoderError(
            ASKED,
            f"The store's maps are of {opened.encoder.name!r}, not of {loaded.spec.name!r} as it is.",
            "Give the encoder that the store was made with.",
        )
    if len(targets) < 2 or task.kind == "survival":
        raise SettingsError(
            ASKED,
            f"There are {len(targets)} slides, the target is {task.kind}.",
            "Give two or more, no survival.",
        )
    slides = _read_slides(opened, targets, listener)
    torch.manual_seed(torch_seed(seed))
    network = loaded.network.to(place).eval().requires_grad_()
    model = build_model(
        aggregator,
        code_size=loaded.spec.code_size,
        crop_cells=max(8, *(max(each.shape) for each in slides.values())),
        tasks=(task,),
    ).to(place)
    _standardise(model, network, slides, targets, task)
    rate = float(getattr(model.aggregator, "learning_rate", 1e-3)) or 1e-3
    optimiser = torch.optim.Adam(
        [{"params": network.parameters(), "lr": learning_rate}, {"params": model.parameters(), "lr": rate}]
    )
    names, losses = sorted(targets), []
    size = max(2, min(batch, len(names)))
    listener.stage("fine-tune", epochs * math.ceil(len(names) / size))
    with deterministic():
        for epoch in range(epochs):
            order = [names[row] for row in seeded(seed, epoch).permutation(len(names))]
            found = 0.0
            for start in range(0, len(order), size):
                few = order[start : start + size]
                few = few if len(few) > 1 else [*few, order[0]]  # a batch of one has no statistics
                optimiser.zero_grad()
                loss = _loss(model.train(), network, [slides[name] for name in few], few, targets, task)
                if not torch.isfinite(loss):
                    raise TrainingError(
                        ASKED, f"The loss is {loss.item()} in epoch {epoch + 1}.", "Lower the learning rate."
                    )
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                found += loss.item() / math.ceil(len(order) / size)
                listener.advance(1, f"epoch {epoch + 1}")
            losses.append(found)
    spec = replace(
        loaded.spec,
        name=f"{loaded.spec.name}-{task.name}",
        half_cosine=None,
        provenance=f"{loaded.spec.name}, fine-tuned through the target {task.name!r} of {len(names)} slides",
    )
    network.requires_grad_(False)
    listener.stage("compare precisions", 1)
    # The network learned in its place. Unmeasured, no compression would compute it in bf16.
    loaded.spec = with_half_cosine(spec, loaded.tensors, _compared(list(slides.values())))
    listener.advance(1, "")
    loaded.save(out)
    return FineTuned(Path(out), tuple(losses))


def _compared(slides: Sequence[SlideTiles]) -> npt.NDArray[np.uint8]:
    """Tiles from all over the slides, on which codes in bfloat16 are compared with those in float32."""
    few = [each.tiles[:: max(1, math.ceil(len(each.tiles) * len(slides) / COMPARED))] for each in slides]
    return np.ascontiguousarray(torch.cat(few).numpy()[:COMPARED])


def _read_slides(store: Store, targets: Mapping[str, float], progress: Progress) -> dict[str, SlideTiles]:
    """All tiles of the slides, in memory as bytes.

    Raises:
        SettingsError: They do not fit.
    """
    maps = {name: store.map(name) for name in sorted(targets)}
    needed = sum(3 * each.grid.tile_px**2 * int(each.mask.sum()) for each in maps.values())
    if needed > memory_for_maps():
        raise SettingsError(
            ASKED,
            f"Their tiles take {needed / 1e9:.1f} GB, there is room for {memory_for_maps() / 1e9:.1f} GB.",
            "Give fewer slides, or smaller ones.",
        )
    progress.stage("read tiles", len(maps))
    found = {}
    for name, each in maps.items():
        found[name] = _read_tiles(each)
        progress.advance(1, name)
    return found


def _read_tiles(compressed: CompressedSlide) -> SlideTiles:
    grid = compressed.grid
    normalised = normaliser_of(compressed.slide.stain, compressed.settings.stain)
    with open_slide(compressed.slide.path, mpp=grid.slide_mpp) as slide:
        slide.exact_averaging = compressed.settings.exact_averaging
        parts = list(walk_tiles(slide, grid, compressed.mask, TILES_AT_ONCE))
    found = [tiles if normalised is None else normalised(tiles) for _, tiles in parts]
    tiles = torch.from_numpy(np.concatenate(found))
    return SlideTiles(
        tiles, np.concatenate([cells for cells, _ in parts]), (grid.shape.rows, grid.shape.cols)
    )


def _map_of(codes: Tensor, slide: SlideTiles, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Codes ``(N, D)`` on their cells ``(D, R, K)``, and the mask ``(R, K)``."""
    rows, cols = (torch.from_numpy(slide.cells[:, axis]).to(codes.device) for axis in (0, 1))
    places = rows * shape[1] + cols
    flat = codes.new_zeros(shape[0] * shape[1], codes.shape[1]).index_copy(0, places, codes)
    mask = codes.new_zeros(shape[0] * shape[1]).index_fill(0, places, 1.0)
    return flat.view(*shape, -1).permute(2, 0, 1), mask.view(shape)


def _loss(
    model: SlideModel,
    network: torch.nn.Module,
    slides: Sequence[SlideTiles],
    names: Sequence[str],
    targets: Mapping[str, float],
    task: Task,
) -> Tensor:
    """Loss of some slides, from their pixels."""
    shape = (max(each.shape[0] for each in slides), max(each.shape[1] for each in slides))
    maps = [_map_of(stream_tiles(network, each.tiles), each, shape) for each in slides]
    codes, mask = (torch.stack([pair[place] for pair in maps]) for place in (0, 1))
    given = {task.name: torch.tensor([targets[name] for name in names], device=codes.device).float()}
    known = model.heads.standardise(given)
    outputs = model(codes, mask)
    return joint_loss((task,), outputs, known) + model.own_loss(outputs, known)


@torch.no_grad()
def _standardise(
    model: SlideModel,
    network: torch.nn.Module,
    slides: Mapping[str, SlideTiles],
    targets: Mapping[str, float],
    task: Task,
) -> None:
    """Give the slide model what it needs to know of codes and targets."""
    codes = torch.cat([stream_tiles(network, each.tiles) for each in slides.values()])
    model.scale.set(codes.mean(0), codes.std(0))
    values = np.array([targets[name] for name in sorted(targets)], dtype=float)
    if task.is_classification:
        counts = torch.from_numpy(np.bincount(values.astype(int), minlength=len(task.classes)))
        shares = counts / counts.sum()
        model.heads[task.name].set_shares(shares, shares)
    else:
        model.heads[task.name].set_scale(float(values.mean()), float(values.std()))
