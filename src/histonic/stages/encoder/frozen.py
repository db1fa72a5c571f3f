"""Training behind a frozen encoder: its codes of all tiles are computed once, and projected."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from histonic.core.compressed import ProjectionDescription
from histonic.core.errors import EncoderError, SettingsError
from histonic.core.files import replacing_file
from histonic.core.progress import Progress, heard
from histonic.data.tilesets.tile_set import TileSet
from histonic.encoders.base import EncoderSpec, encoder_spec, load_encoder
from histonic.encoders.engines.choice import choose_precision, start_encoding
from histonic.encoders.engines.pool import EncodingPool
from histonic.encoders.networks.convolutional import NetworkEncoder
from histonic.encoders.networks.projected import PROJECTED, Projection, build_projection
from histonic.encoders.objectives.base import Objective
from histonic.nn.augmentation.augment import AUGMENT_LEVELS, AugmentRule, augment
from histonic.nn.components import MOST_DEVIATIONS
from histonic.nn.pixels import tensor_of
from histonic.stages.encoder.settings import COMPONENTS, TrainEncoderSettings
from histonic.stages.encoder.training_data import TrainingModule
from histonic.training.devices import pick_device

AT_ONCE = 256
NO_AUGMENTATION = "none"


class FrozenModule(TrainingModule):
    """An objective that is shown features of tiles, of which some views were made beforehand.

    Args:
        objective: What learns; its trunk is the projection.
    """

    def __init__(self, objective: Objective) -> None:
        super().__init__(objective, AUGMENT_LEVELS[NO_AUGMENTATION], 0)

    @torch.no_grad()
    def prepared(self, tiles: Tensor, generator: torch.Generator) -> Tensor:
        """Of features ``(B, V, F)`` a view of each ``(B, F)``: the plain one, or any while learning."""
        if not self.training and self.objective.shows == "tile":
            return tiles[:, 0].float()
        chosen = torch.randint(tiles.shape[1], (len(tiles),), generator=generator, device=tiles.device)
        return tiles[torch.arange(len(tiles), device=tiles.device), chosen].float()


def adopt_frozen(settings: TrainEncoderSettings) -> tuple[TrainEncoderSettings, EncoderSpec]:
    """The settings with the tiles of the frozen encoder, and the spec of what will be trained.

    Raises:
        SettingsError: No encoder is given, or an option cannot be had behind a frozen one.
        EncoderError: The encoder is absent, damaged, or has no network.
    """
    is_measured = settings.objective == COMPONENTS
    asked = (
        "Measure the principal components of an encoder's codes (--objective components)."
        if is_measured
        else "Train a projection behind a frozen encoder (--freeze-trunk)."
    )
    if settings.weights is None:
        raise SettingsError(
            asked,
            "No encoder is given.",
            "Give its file: --weights ENCODER.safetensors, from 'encoder import'.",
        )
    _refuse_options(settings, asked)
    base = encoder_spec(settings.weights)
    if base.projection is not None:
        raise SettingsError(
            asked,
            f"{base.name!r} is such a projection itself.",
            "Give the encoder that it stands behind.",
        )
    for name, value in (("tile_px", base.tile_px), ("mpp", base.mpp)):
        usual = TrainEncoderSettings.model_fields[name].default
        if getattr(settings, name) not in (usual, value):
            raise SettingsError(
                asked,
                f"{name} is {getattr(settings, name):g}, and {base.name!r} takes {value:g}.",
                "Leave it out: the tiles are those of the frozen encoder.",
            )
    if settings.code_size >= base.code_size:
        raise SettingsError(
            asked,
            f"{base.name!r} gives {base.code_size} numbers, and --code-size is {settings.code_size}.",
            "Give a smaller --code-size.",
        )
    adopted = settings.model_copy(update={"tile_px": base.tile_px, "mpp": base.mpp})
    how = "principal components of the codes of" if is_measured else "projection trained with histonic behind"
    spec = replace(
        base,
        name=settings.name or settings.out.name,
        architecture=f"{PROJECTED}:{base.architecture}",
        code_size=settings.code_size,
        licence=settings.licence,
        provenance=f"{how} {base.name} (its licence: {base.licence})",
        half_cosine=None,
        projection=ProjectionDescription(base.code_size, settings.hidden, MOST_DEVIATIONS),
    )
    return adopted, spec


def _refuse_options(settings: TrainEncoderSettings, asked: str) -> None:
    """Refuse what cannot be had behind a frozen encoder."""
    if settings.objective == COMPONENTS:
        given = {
            "--trunk": bool(settings.trunk),
            "--hidden": settings.hidden > 0,
        }
        if wrong := next((name for name, is_given in given.items() if is_given), None):
            raise SettingsError(
                asked,
                f"{wrong} is given; they are a linear map of the codes of an encoder as it is.",
                f"Leave {wrong} out.",
            )
        return
    if settings.objective != "multitask" or settings.trunk or settings.multitask.appearance:
        wrong = "--trunk" if settings.trunk else "the appearance task"
        raise SettingsError(
            asked,
            f"It was asked for with {wrong if settings.objective == 'multitask' else settings.objective}.",
            "It learns by --objective multitask, with or without contrast, or is measured by --objective "
            "components; the trunk is that of --weights.",
        )
    if settings.multitask.warmup_epochs or settings.multitask.norm_fix:
        raise SettingsError(
            asked,
            "multitask.warmup_epochs or norm_fix is given; the trunk is frozen for good.",
            "Leave them out.",
        )


def load_frozen(settings: TrainEncoderSettings, device: str = "cpu") -> NetworkEncoder:
    """The frozen encoder.

    Raises:
        EncoderError: It is absent, damaged, or has no network.
    """
    path = str(settings.weights)
    precision = choose_precision("auto", encoder_spec(path), device)
    found = load_encoder(path, device=device, precision=precision)
    if not isinstance(found, NetworkEncoder):
        raise EncoderError(
            f"Train a projection behind {path}.", "It has no network.", "Give an encoder with weights."
        )
    return found


def feature_sets(
    settings: TrainEncoderSettings, sets: Sequence[TileSet], progress: Progress | None = None
) -> list[TileSet]:
    """The sets with features float16 ``(N, V, F)`` in place of tiles, mapped from the cache.

    View 0 is of the tile as it is, the others of augmented ones.

    Args:
        settings: With the frozen encoder, the augmentation and the number of views.
        sets: Of tiles.
        progress: Listener to the progress.

    Raises:
        EncoderError: The encoder cannot be loaded.
        OutputError: The cache cannot be written.
    """
    cache = settings.cache or settings.out / "cache"
    frozen = load_frozen(settings, pick_device(settings.device))
    fingerprint, views = frozen.fingerprint, settings.shown_views
    found = []
    for each in sets:
        drawn = f"{settings.augment} {views} {settings.seed}" if views > 1 else "plain"
        how = f"{drawn} {version('histonic')}"
        facts = f"{each.fingerprint} {fingerprint} {how}"
        path = cache / f"features-{hashlib.sha256(facts.encode()).hexdigest()[:24]}.npy"
        if not path.is_file():
            _encode_set(each, frozen, settings, path, heard(progress))
        features: npt.NDArray[Any] = np.load(path, mmap_mode="r")
        found.append(replace(each, tiles=features, wide=None))
    return found


def _encode_set(
    each: TileSet, frozen: NetworkEncoder, settings: TrainEncoderSettings, path: Path, progress: Progress
) -> None:
    rule = AUGMENT_LEVELS[settings.augment]
    count = len(each.tiles)
    path.parent.mkdir(parents=True, exist_ok=True)
    progress.stage(f"codes of {each.plan.name} by {frozen.spec.name}", count)
    first = np.ascontiguousarray(each.tiles[:AT_ONCE])
    with (
        replacing_file(path) as partial,
        start_encoding(
            frozen,
            device=str(frozen.device),
            precision="bf16" if frozen.precision == "bf16" else "32",
            engine=None,
            tiles=count * settings.shown_views,
            batch=AT_ONCE,
            first=first,
            progress=progress,
        ) as pool,
    ):
        shape = (count, settings.shown_views, frozen.spec.code_size)
        features = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
        generator = torch.Generator().manual_seed(settings.seed)
        for start in range(0, count, AT_ONCE):
            tiles = np.ascontiguousarray(each.tiles[start : start + AT_ONCE])
            for view in range(settings.shown_views):
                shown = tiles if not view else _augmented(tiles, rule, generator)
                features[start : start + AT_ONCE, view] = _encoded(pool, shown, frozen.spec.name)
            progress.advance(len(tiles))
        features.flush()


def _encoded(pool: EncodingPool, tiles: npt.NDArray[np.uint8], name: str) -> npt.NDArray[np.float16]:
    codes = pool.encode(tiles)
    if not np.abs(codes).max(initial=0) <= np.finfo(np.float16).max:
        raise EncoderError(
            f"Train a projection behind {name!r}.",
            "Some of its codes are not finite, or beyond what float16 holds, as which they are kept.",
            "Give another encoder, or one whose last layer is normalised.",
        )
    return codes.astype(np.float16)


@torch.no_grad()
def _augmented(
    tiles: npt.NDArray[np.uint8], rule: AugmentRule, generator: torch.Generator
) -> npt.NDArray[np.uint8]:
    pixels = tensor_of(tiles).permute(0, 3, 1, 2).float().div(255)
    changed = augment(pixels, rule, generator).clamp(0, 1).mul(255).round().to(torch.uint8)
    return np.ascontiguousarray(changed.permute(0, 2, 3, 1).numpy())


def fitted_projection(spec: EncoderSpec, sets: Sequence[TileSet]) -> Projection:
    """A projection with fresh weights, standardised by the plain features of the training tiles.

    Args:
        spec: Of the encoder that is trained.
        sets: With features in place of tiles.
    """
    projection = build_projection(spec)
    projection.fit_scale(
        np.asarray(each.tiles[rows[start : start + AT_ONCE], 0])
        for each in sets
        for rows in (each.rows("train"),)
        for start in range(0, len(rows), AT_ONCE)
    )
    return projection
