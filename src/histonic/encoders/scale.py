"""An encoder that looks at tiles of another side in microns than those it learned from."""

from __future__ import annotations

import math
import os
from dataclasses import replace

from histonic.encoders.base import (
    ENCODERS,
    Encoder,
    EncoderSpec,
    architecture_entry,
    encoder_spec,
    load_encoder,
)


def tile_um_of(spec: EncoderSpec) -> float | None:
    """Side in microns that was asked for of an encoder's tiles; None: its own, or no encoder of its name.

    Args:
        spec: As a map says it.

    Example:
        >>> tile_um_of(load_encoder_at("colour", 16.0).spec), tile_um_of(load_encoder_at("colour", 64.0).spec)
        (16.0, None)
    """
    if spec.name not in ENCODERS:
        return None
    own, side = encoder_spec(spec.name), spec.tile_px * spec.mpp
    return None if math.isclose(side, own.tile_px * own.mpp) else float(f"{side:.12g}")


def spec_at(name_or_path: str | os.PathLike[str], tile_um: float | None) -> EncoderSpec:
    """What an encoder expects and gives at a scale; None: its own. Of a file only the header is read.

    Raises:
        EncoderError: As :func:`load_encoder_at`.
        SettingsError: No encoder has that name.

    Example:
        >>> spec_at("colour", 16.0).mpp, spec_at("colour", None).mpp
        (0.125, 0.5)
    """
    spec = encoder_spec(name_or_path)
    return spec if tile_um is None else _scaled(spec, tile_um)


def _scaled(spec: EncoderSpec, tile_um: float) -> EncoderSpec:
    return replace(spec, mpp=tile_um / spec.tile_px)


def load_encoder_at(
    name_or_path: str | os.PathLike[str], tile_um: float, *, device: str = "cpu", precision: str = "32"
) -> Encoder:
    """Load an encoder whose tiles are as many microns wide as one says, of as many pixels as ever.

    A nucleus of 8 microns is an eighth of a tile of 64 microns, and half of one of 16: single cells are seen
    better so, if what is learned of the codes is learned at the same scale. The fingerprint is another, so
    that codes of different scales are not mixed.

    Args:
        name_or_path: As for :func:`~histonic.encoders.base.load_encoder`.
        tile_um: Side of a tile in microns.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``32`` or ``bf16``.

    Raises:
        EncoderError: The file is absent, damaged, or no histonic encoder; or the name needs weights.
        SettingsError: No encoder has that name.

    Example:
        >>> load_encoder_at("colour", 16.0).spec.mpp
        0.125
    """
    loaded = load_encoder(name_or_path)
    spec = _scaled(loaded.spec, tile_um)
    return ENCODERS.get(architecture_entry(spec)).from_tensors(spec, loaded.tensors, device, precision)
