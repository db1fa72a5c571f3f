"""A TorchScript file as a tile encoder: the network with its weights, and no Python code."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from histonic.core.compressed import TrunkDescription
from histonic.core.errors import EncoderError
from histonic.core.settings import Pooling
from histonic.encoders.base import EncoderSpec, Tensors
from histonic.encoders.foreign.colours import scale_and_shift
from histonic.encoders.foreign.pooling import pooled
from histonic.encoders.foreign.presets import Preset
from histonic.encoders.foreign.stated import Said, colours_of, spec_of
from histonic.encoders.networks.convolutional import NetworkEncoder

SCRIPT = "script"
"""The one tensor of such an encoder: the bytes of the file."""
PREFIX = "prefix"
"""Argument of such an encoder: tokens before those of the patches."""
OF_TYPES = re.compile("type|Half|BFloat16|Double")
"""In what torch tells of numbers of two precisions, and not of sizes."""
SINGLE = "single"
"""Argument of such an encoder: its weights are cast to float32, without which it does not take such tiles."""
ADVICE = "Export it again: torch.jit.trace(model.eval(), tiles).save(path)."


class ScriptNetwork(nn.Module):
    """A script that makes features, or tokens, of tiles in its own colours.

    Args:
        script: The bytes of the file.
        described: Colours and pooling.
        name: For messages.

    Raises:
        EncoderError: The bytes are no TorchScript.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, script: bytes, described: TrunkDescription, name: str) -> None:
        super().__init__()
        self.pooling: Pooling = described.pooling
        self.prefix = int(described.arguments.get(PREFIX, 1))
        self.name = name
        try:
            self.trunk = cast(Any, torch.jit).load(io.BytesIO(script), map_location="cpu").eval()
        except (RuntimeError, ValueError, OSError) as error:
            told = str(error).strip().splitlines() or ["it is damaged"]
            raise EncoderError(
                f"Load the script of {name!r}.", f"It cannot be read: {told[0]}.", ADVICE
            ) from error
        if described.arguments.get(SINGLE):
            self.trunk.float()
        scale, shift = scale_and_shift(described.mean, described.std)
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, tiles: Tensor) -> Tensor:
        """Codes ``(B, D)`` of tiles ``(B, 3, H, W)`` scaled to -1..1."""
        found = self.trunk(tiles * self.scale + self.shift)
        if not isinstance(found, Tensor):
            raise EncoderError(f"Encode with {self.name!r}.", "The script gives no tensor.", ADVICE)
        if self.pooling == "model":
            return found
        return pooled(found, self.pooling, self.prefix, self.name)


class ScriptEncoder(NetworkEncoder):
    """A :class:`ScriptNetwork` as an encoder of uint8 tiles."""

    architecture = "torchscript"

    def __init__(
        self,
        spec: EncoderSpec,
        network: nn.Module,
        device: str = "cpu",
        precision: str = "32",
        *,
        script: npt.NDArray[np.uint8],
    ) -> None:
        super().__init__(spec, network, device, precision)
        self._script = script

    @classmethod
    def create(cls, device: str, precision: str) -> Self:
        """Refuse: this encoder needs a script.

        Raises:
            EncoderError: Always.
        """
        raise EncoderError(
            "Use the encoder 'torchscript'.",
            "It names a kind of file.",
            "Give an encoder file, made by 'histonic encoder import' (docs/how-to/foundation-encoders.md).",
        )

    @classmethod
    def from_tensors(cls, spec: EncoderSpec, tensors: Tensors, device: str, precision: str) -> Self:
        """Load the script.

        Raises:
            EncoderError: There is none, or it is damaged.
        """
        script = tensors.get(SCRIPT)
        if script is None or spec.trunk is None:
            raise EncoderError(
                f"Load the encoder {spec.name!r}.", "Its file holds no script.", "Import it again."
            )
        network = ScriptNetwork(np.asarray(script, np.uint8).tobytes(), spec.trunk, spec.name)
        return cls(spec, network, device, precision, script=np.asarray(script, np.uint8))

    @property
    def tensors(self) -> Tensors:
        """The script, as bytes."""
        return {SCRIPT: self._script}


def _tried(
    script: bytes, described: TrunkDescription, tile_px: int, name: str
) -> tuple[ScriptNetwork, Tensor | str]:
    """The network, and what it gives of two tiles; or what is told where it does not take them."""
    network = ScriptNetwork(script, described, name)
    try:
        with torch.inference_mode():
            return network, network(torch.zeros(2, 3, tile_px, tile_px))
    except RuntimeError as error:
        return network, (str(error).strip().splitlines() or [type(error).__name__])[-1].rstrip(".")


def read_script(path: Path, preset: Preset | None, said: Said, asked: str) -> ScriptEncoder:
    """An encoder of a TorchScript file.

    Args:
        path: The file.
        preset: That says its colours, resolution and licence.
        said: By the user; ``pooling`` only if the script gives tokens.
        asked: What was asked for, for messages.

    Raises:
        EncoderError: It is damaged, does not take such tiles, gives no codes, or its colours or resolution
            are not known.
    """
    script = np.frombuffer(path.read_bytes(), np.uint8)
    tile_px = said.tile_px or (preset.tile_px if preset else 224)
    colours = colours_of(said, None, preset, asked)
    if said.pooling in ("mean", "cls+mean") and preset is None:
        raise EncoderError(
            asked,
            "Nothing says how many of its tokens come before those of the patches.",
            "Name the preset, or let the script pool its tokens itself.",
        )
    before = {PREFIX: preset.prefix} if preset else {}
    described = TrunkDescription(before, said.pooling or "model", *colours, preset.name if preset else "")
    network, codes = _tried(script.tobytes(), described, tile_px, path.name)
    if isinstance(codes, str):
        # A script in half precision takes no tiles in single precision; one that casts them takes no others.
        described = replace(described, arguments={**before, SINGLE: 1})
        first, (network, codes) = codes, _tried(script.tobytes(), described, tile_px, path.name)
        if isinstance(codes, str):
            told = codes if OF_TYPES.search(first) else first
            raise EncoderError(
                asked,
                f"It does not take tiles of {tile_px} px in single precision: {told}.",
                ADVICE if OF_TYPES.search(told) else "Give the side that it takes: --tile-px.",
            )
    if codes.ndim == 3 and said.pooling is None and preset is not None:
        described = replace(described, pooling=preset.pooling)
        network.pooling = preset.pooling
        codes = pooled(codes, preset.pooling, network.prefix, path.name)
    if codes.ndim != 2 or len(codes) != 2:
        raise EncoderError(
            asked,
            f"Of 2 tiles it gives {tuple(codes.shape)}, not one vector each.",
            "Say how its tokens are pooled: --pooling cls, mean or cls+mean." if codes.ndim == 3 else ADVICE,
        )
    spec = spec_of(
        said, preset, "torchscript", tile_px, codes.shape[1], described, f"TorchScript {path.name}", asked
    )
    return ScriptEncoder(spec, network, script=script)
