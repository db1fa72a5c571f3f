"""Principal components of a frozen encoder's codes as the projection behind it: measured, not trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from histonic.core.errors import SettingsError
from histonic.data.tilesets.tile_set import TileSet
from histonic.encoders.base import EncoderSpec
from histonic.encoders.networks.projected import Projection
from histonic.nn.components import LEAST_SPREAD, largest_axes, turned
from histonic.stages.encoder.frozen import fitted_projection
from histonic.stages.encoder.settings import TrainEncoderSettings

ROWS_AT_ONCE = 8192
KEPT = "variance kept"
"""Share of the variance of standardised codes that lies along the components, in the scores of a run."""


def measure_projection(spec: EncoderSpec, sets: Sequence[TileSet]) -> dict[str, Any]:
    """Fit a projection to the codes of the training tiles, without their labels.

    Each number is standardised; the components are mixed in the root of their spread
    (:func:`histonic.nn.components.turned`), so that a slide network, which standardises each number, does
    not hear the last of them as loud as the first.

    Args:
        spec: Of the encoder that is made.
        sets: With features ``(N, V, F)`` in place of tiles.

    Returns:
        The state of a finished training: weights of the projection, and one record of how much of the
        variance is lost, as a loss.

    Raises:
        SettingsError: The codes of the training tiles vary along fewer axes than were asked for.
    """
    projection = fitted_projection(spec, sets).double()
    spreads = {split: _spread(projection, sets, split) for split in ("train", "val")}
    axes, variances = largest_axes(spreads["train"], spec.code_size)
    if (varied := int((variances > LEAST_SPREAD).sum())) < spec.code_size:
        raise SettingsError(
            f"Measure {spec.code_size} principal components (--code-size).",
            f"The codes of the {_training_tiles(sets)} training tiles vary along {varied} axes.",
            "Give other tiles, or a smaller --code-size, and another --out; with the same --cache nothing is "
            "encoded twice.",
        )
    last = projection.layers[-1]
    if not isinstance(last, nn.Linear):
        raise TypeError("components are a linear map")
    with torch.no_grad():
        last.weight.copy_(turned(axes / variances.sqrt()).T)
        last.bias.zero_()
    kept = {
        split: float((axes.T @ spread @ axes).trace() / spread.trace()) for split, spread in spreads.items()
    }
    record = {
        "epoch": 0,
        "learning_rate": 0.0,
        "train_loss": 1 - kept["train"],
        "validation_loss": 1 - kept["val"],
        "scores": {KEPT: kept["val"]},
    }
    return {
        "trunk": {name: value.contiguous() for name, value in projection.float().state_dict().items()},
        "heads": {},
        "history": [record],
        "best_epoch": 0,
        "picture": None,
    }


def require_tiles(settings: TrainEncoderSettings, sets: Sequence[TileSet]) -> None:
    """Refuse fewer training tiles than components, before any is encoded.

    Raises:
        SettingsError: Says how many there are.
    """
    if (tiles := _training_tiles(sets)) <= settings.code_size:
        raise SettingsError(
            f"Measure {settings.code_size} principal components (--code-size).",
            f"There are {tiles} training tiles.",
            "Give more tiles, at best many times as many, or a smaller --code-size.",
        )


def _training_tiles(sets: Sequence[TileSet]) -> int:
    return sum(len(each.rows("train")) for each in sets)


@torch.no_grad()
def _spread(projection: Projection, sets: Sequence[TileSet], split: str) -> Tensor:
    """Mean products ``(F, F)`` of the standardised codes of a split, about the mean of the training tiles."""
    total = torch.zeros(len(projection.mean), len(projection.mean), dtype=torch.float64)
    count = 0
    for each in sets:
        rows = each.rows(split)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = np.asarray(each.tiles[rows[start : start + ROWS_AT_ONCE], 0], np.float64)
            standardised = projection.standardised(torch.from_numpy(part))
            total += standardised.T @ standardised
            count += len(part)
    return total / count
