"""What a finished training of an encoder leaves: encoder, heads, what its codes vary with, card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.core.files import write_json
from histonic.data.tilesets.tile_set import TileSet
from histonic.encoders.base import EncoderSpec
from histonic.encoders.engines.halves import with_half_cosine
from histonic.encoders.networks.convolutional import NetworkEncoder
from histonic.encoders.networks.projected import ProjectedEncoder, projected_tensors
from histonic.encoders.tile_heads import HEADS_FILE, save_heads
from histonic.metrics.discrimination.variance import VarianceShares, variance_shares
from histonic.runs.files import clear_leftovers
from histonic.stages.encoder import run_files as encoder_run
from histonic.stages.encoder.frozen import feature_sets, load_frozen
from histonic.stages.encoder.recipes import encoder_class
from histonic.stages.encoder.settings import COMPONENTS, TrainEncoderSettings
from histonic.stages.encoder.training_data import pair_facts

COMPARED, FEW_COMPARED = 100, 24
"""Validation tiles on which bfloat16 is compared with float32: of each set; of all, of a large network."""
MOST_VARIED, VARIED_AT_ONCE = 500, 64
"""Validation tiles of each set, about, of which is told what their codes vary with."""


def write_results(
    settings: TrainEncoderSettings, spec: EncoderSpec, sets: Sequence[TileSet], state: dict[str, Any]
) -> None:
    """Write all that a finished training leaves; ``run.json`` comes last and says that it is finished.

    Args:
        settings: Of the run.
        spec: What the encoder expects and gives.
        sets: The tile sets.
        state: Of the training: trunk, heads, history, best epoch, picture.

    Raises:
        OutputError: The run cannot be written.
    """
    out = settings.out
    tensors = {name: value.numpy() for name, value in state["trunk"].items()}
    if settings.is_behind_frozen:
        tensors = projected_tensors(load_frozen(settings).tensors, tensors)
    compared = _compared_tiles(sets)
    if settings.is_behind_frozen:  # a large network may take seconds a tile
        compared = compared[:: max(1, len(compared) // FEW_COMPARED)]
    spec = with_half_cosine(spec, tensors, compared)
    encoder = encoder_class(spec).from_tensors(spec, tensors, "cpu", "32")
    encoder.save(out / "encoder.safetensors")
    tasks = [task for each in sets for task in each.tasks]
    if state["heads"]:
        enlarged = {task.name: each.enlarged for each in sets for task in each.tasks if each.enlarged > 1}
        save_heads(
            out / HEADS_FILE,
            tasks,
            settings.code_size,
            state["heads"],
            encoder.fingerprint,
            enlarged,
            settings.multitask.head_hidden,
        )
    encoder_run.write_history(out, state["history"])
    if settings.objective != COMPONENTS:
        encoder_run.draw_training_curves(out / "curves.png", state["history"], state["best_epoch"])
    if state["picture"] is not None:
        encoder_run.draw_tiles(out / "picture.png", state["picture"].numpy())
    facts = encoder_run.run_facts(settings, encoder, sets, state, _varied(settings, encoder, sets))
    if settings.objective == "contrastive":
        facts["pairs"] = {each.plan.name: pair_facts(each) for each in sets}
    encoder_run.write_card(out / "model_card.md", settings, encoder, facts)
    write_json(out / "run.json", facts)
    clear_leftovers(out, "cache")


def _compared_tiles(sets: Sequence[TileSet]) -> npt.NDArray[np.uint8]:
    """Validation tiles of every set, on which codes in bfloat16 are compared with those in float32."""
    rows = [(each, each.rows("val")) for each in sets]
    return np.concatenate([each.tiles[some[:: max(1, len(some) // COMPARED)]] for each, some in rows])


def _varied(
    settings: TrainEncoderSettings, encoder: NetworkEncoder, sets: Sequence[TileSet]
) -> dict[str, VarianceShares]:
    """What the codes of validation tiles vary with, by task of classes."""
    given = feature_sets(settings, list(sets)) if settings.is_behind_frozen else sets
    found = {}
    for each, source in zip(sets, given, strict=True):
        rows = each.rows("val")
        rows = rows[:: max(1, len(rows) // MOST_VARIED)]
        if not len(rows) or not any(task.is_classification for task in each.tasks):
            continue
        if isinstance(encoder, ProjectedEncoder) and settings.is_behind_frozen:
            codes = encoder.projection.codes(np.asarray(source.tiles[rows, 0], np.float32))
        else:
            codes = np.concatenate(
                [
                    encoder.encode(np.ascontiguousarray(each.tiles[rows[at : at + VARIED_AT_ONCE]]))
                    for at in range(0, len(rows), VARIED_AT_ONCE)
                ]
            )
        for task in each.tasks:
            if task.is_classification:
                groups = each.group[rows].tolist()
                found[task.name] = variance_shares(codes, each.targets[task.name][rows], groups)
    return found
