"""Weights from elsewhere to an encoder file, its card, and how near bfloat16 comes to them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from histonic.core.errors import EncoderError
from histonic.core.files import write_text
from histonic.core.settings import Pooling
from histonic.encoders.base import Encoder
from histonic.encoders.engines.halves import half_cosine
from histonic.encoders.foreign.cards import card_of
from histonic.encoders.foreign.importing import read_encoder
from histonic.encoders.foreign.presets import Colours
from histonic.encoders.foreign.released import import_released
from histonic.encoders.foreign.stated import Said
from histonic.nn.agreement import differs
from histonic.simulate.slides import simulate_tissue

TRIED = 4
"""Of them those on which it is seen that a code hangs on its tile alone."""
COMPARED = 16
"""Simulated tiles on which codes in bfloat16 are compared with those in float32."""


def import_encoder(
    file: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    preset: str | None = None,
    architecture: str | None = None,
    colours: tuple[Colours, Colours] | Literal["timm"] | None = None,
    pooling: Pooling | None = None,
    tile_px: int | None = None,
    mpp: float | None = None,
    licence: str | None = None,
    name: str | None = None,
) -> Encoder:
    """Make an encoder file of weights from elsewhere, and a model card beside it.

    Nothing is fetched, and no Python code of others is run. What the weights were trained to see is taken
    from their files, from a preset or from what is given here, and never guessed.

    Args:
        file: A folder as downloaded from a hub (``config.json`` and weights, for timm or transformers); a
            state dict (``.pth``, ``.pt``, ``.bin``, ``.safetensors``); a TorchScript file; or a Keras file
            (``.h5``): an encoder that the authors of NIC released, or another chain of layers.
        out: The ``.safetensors`` file to write; the card is written beside it as ``.md``.
        preset: A foundation encoder by name, see :data:`~histonic.encoders.foreign.presets.PRESETS`. A state
            dict that fits exactly one needs none.
        architecture: Such as ``timm:resnet50``, of a state dict that is no preset's.
        colours: Mean and deviation of red, green and blue that the weights were trained on, of 0..1;
            ``timm``: those of timm's own weights of that architecture.
        pooling: What is the code, where the preset's default is not wanted: ``model``, ``cls``, ``mean`` or
            ``cls+mean``.
        tile_px: Side of the tiles, where it is not the usual one.
        mpp: Microns per pixel of the tiles; without a preset it must be given.
        licence: Of the weights; "not stated" unless given or known by the preset.
        name: The encoder's own name.

    Returns:
        The encoder, on the CPU.

    Raises:
        EncoderError: The file is absent, damaged or of no kind that is known; its colours, pooling or
            resolution are known neither from it nor from a preset nor from the call; its weights fit no
            preset, or several; or it gives no codes of tiles, or codes that hang on more than the tile.
        OutputError: ``out`` cannot be written.
    """
    path = Path(file)
    asked = f"Import the encoder {path}."
    if Path(out).suffix != ".safetensors":
        raise EncoderError(
            asked, f"The output {out} has another ending.", "Give --out a name that ends in .safetensors."
        )
    said = Said(architecture, colours, pooling, tile_px, mpp, licence, name)
    if path.suffix == ".h5":
        if preset:
            raise EncoderError(asked, "A preset is given, and it is a Keras file.", "Leave out --preset.")
        released = import_released(path, out, said)
        write_text(Path(out).with_suffix(".md"), card_of(released.spec))
        return released
    encoder = read_encoder(path, said, preset)
    tiles = _tiles(encoder.spec.tile_px)
    _try(encoder, tiles[:TRIED], asked)
    encoder.spec = replace(encoder.spec, half_cosine=half_cosine(encoder, tiles))
    encoder.save(out)
    write_text(Path(out).with_suffix(".md"), card_of(encoder.spec))
    return encoder


def _try(encoder: Encoder, tiles: npt.NDArray[np.uint8], asked: str) -> None:
    """Refuse what gives no codes, the same code for all tiles, or another code for the same tile."""
    advice = "Give the network as it is after training (model.eval()); a script for any number of tiles."
    try:
        codes, again, alone = (encoder.encode(given) for given in (tiles, tiles, tiles[:1]))
    except (RuntimeError, ValueError) as error:
        told = (str(error).strip().splitlines() or [type(error).__name__])[-1].rstrip(".")
        raise EncoderError(
            asked, f"It takes no {len(tiles)} tiles, or no single one: {told}.", advice
        ) from error
    if not np.isfinite(codes).all():
        raise EncoderError(asked, "Its codes of simulated tissue hold NaN or infinity.", advice)
    if (codes == codes[0]).all():
        raise EncoderError(asked, f"It gives the same code for {len(tiles)} tiles of tissue.", advice)
    if when := differs(codes, again, alone, "tile"):
        raise EncoderError(
            asked,
            f"For {when} it gives another code: it draws at random, or looks at other tiles beside it.",
            advice,
        )


def _tiles(side: int) -> npt.NDArray[np.uint8]:
    """Simulated tissue at 0.5 µm/px: real tiles are not at hand when weights are imported."""
    across = int(COMPARED**0.5)
    tissue = simulate_tissue(across * side, np.random.default_rng(0))
    rows = tissue.reshape(across, side, across, side, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(rows.reshape(COMPARED, side, side, 3))
