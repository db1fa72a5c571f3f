"""Encoders of one's own for one session, such as a class of a notebook: a network or a function of tiles."""

from __future__ import annotations

import copy
import hashlib
import os
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from histonic.core.errors import EncoderError
from histonic.core.registry import code_hash
from histonic.encoders.base import (
    ENCODERS,
    EncoderSpec,
    Tensors,
    UInt8Tiles,
    check_tiles,
    fingerprint_of,
    save_encoder,
)
from histonic.nn.agreement import differs
from histonic.nn.pixels import tensor_of

TRIED = 2
"""Tiles on which an encoder is tried as it is registered."""
PLAIN = ((255, 255, 255), (0, 0, 0), (230, 150, 190), (90, 50, 130))
"""Colours of more tiles, for one whose codes of noise are all the same: white, black, pink and purple."""
NUCLEI = ((3, (75, 50, 130)), (30, (75, 50, 130)), (12, (110, 65, 40)))
"""How many nuclei the tissue-like tiles beside those show, and their colour: few and many blue, and brown."""
NUCLEUS_UM = 3.5
"""Radius of them."""


class SessionEncoder:
    """An encoder of this session.

    Args:
        spec: Its architecture is its name and a hash of its code.
        network: A network, or a function of tiles.
        device: Where a network runs.
        precision: Of a network on a GPU; ``32`` or ``bf16``.
    """

    def __init__(self, spec: EncoderSpec, network: Any, device: str = "cpu", precision: str = "32") -> None:
        self.spec = spec
        self.network = network
        self.device = device
        self.precision = precision

    @property
    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The weights, none of a function."""
        if not isinstance(self.network, nn.Module):
            return {}
        return {name: value.detach().cpu().numpy() for name, value in self.network.state_dict().items()}

    @property
    def fingerprint(self) -> str:
        """Hash of code, weights and geometry."""
        return fingerprint_of(self.spec, self.tensors, self.precision)

    def encode(self, tiles: UInt8Tiles) -> npt.NDArray[np.float32]:
        """Codes of tiles, uint8 ``(N, H, W, 3)`` to float32 ``(N, D)``.

        Raises:
            EncoderError: The tiles are not those that it was registered for, or the codes are none.
        """
        check_tiles(self.spec, tiles)
        codes = self._codes(tiles)
        wanted = (len(tiles), self.spec.code_size)
        if codes.shape != wanted:
            raise EncoderError(
                f"Encode tiles with {self.spec.name!r}.",
                f"It gave an array of shape {codes.shape} for {len(tiles)} tiles.",
                f"Return {wanted}: a code of {self.spec.code_size} numbers a tile.",
            )
        return codes

    def _codes(self, tiles: UInt8Tiles) -> npt.NDArray[np.float32]:
        if not isinstance(self.network, nn.Module):
            given = self.network(tiles)
            if isinstance(given, np.ma.MaskedArray):
                given = np.ma.filled(given.astype(np.float32), np.nan)  # missing, and refused as such
            return np.asarray(given, np.float32)
        kind = torch.device(self.device).type
        with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=self.precision == "bf16"):
            scaled = tensor_of(tiles).to(self.device).permute(0, 3, 1, 2) / 255.0
            return np.asarray(self.network(scaled).float().cpu().numpy(), np.float32)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write spec and weights; they are read where the same code is registered."""
        save_encoder(path, self.spec, self.tensors)


class SessionEncoderClass:
    """What the registry holds of an encoder of this session."""

    def __init__(self, spec: EncoderSpec, network: Any) -> None:
        self.spec = spec
        self.network = network

    def create(self, device: str, precision: str) -> SessionEncoder:
        """The encoder as it was registered."""
        network = self.network
        if isinstance(network, nn.Module):
            network = copy.deepcopy(network).to(device).eval().requires_grad_(False)
        return SessionEncoder(self.spec, network, device, precision)

    def from_tensors(
        self, spec: EncoderSpec, tensors: Tensors, device: str, precision: str
    ) -> SessionEncoder:
        """The encoder with weights from a file.

        Raises:
            EncoderError: The file was written by other code of this name, or its weights do not fit.
        """
        asked = f"Load the encoder {spec.name!r}."
        if spec != self.spec:
            raise EncoderError(
                asked,
                "The file was written by an encoder of that name with other code or geometry.",
                "Register the one that wrote it, or compress again into another store.",
            )
        made = self.create(device, precision)
        if isinstance(made.network, nn.Module):
            given = {name: torch.from_numpy(np.array(value)) for name, value in tensors.items()}
            try:
                made.network.load_state_dict(given)
            except RuntimeError as error:
                raise EncoderError(asked, f"Its weights do not fit: {error}.", "Write it again.") from error
        return made


def _failed(asked: str, given: str, error: Exception) -> EncoderError:
    told = " ".join(f"{type(error).__name__}: {error}".split())
    return EncoderError(asked, f"On {given} it failed: {told}", "Correct the network or function.")


def _are_the_same(codes: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> bool:
    """Whether codes are all the first of others, as maps keep them."""
    with np.errstate(over="ignore"):
        return bool((codes.astype(np.float16) == others[0].astype(np.float16)).all())


def _beyond_noise(tile_px: int, mpp: float) -> UInt8Tiles:
    """Tiles for an encoder that noise says nothing: plain, halves of two colours, and tissue-like ones."""
    is_left = (np.arange(tile_px) < tile_px // 2)[:, None]
    plain = [np.full((tile_px, tile_px, 3), colour, np.uint8) for colour in PLAIN]
    tiles = [*plain, *(np.where(is_left, one, other) for one, other in pairwise(plain))]
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:tile_px, :tile_px]
    pink = np.array(PLAIN[2], np.float64)
    for count, colour in NUCLEI:
        tissue = np.broadcast_to(pink, (tile_px, tile_px, 3)).copy()
        for row, column in rng.uniform(0, tile_px, (count, 2)):
            tissue[np.hypot(rows - row, columns - column) <= max(1.0, NUCLEUS_UM / mpp)] = colour
        tiles.append((tissue + rng.normal(0, 3, tissue.shape)).clip(0, 255).astype(np.uint8))
    # Fibres: their width is that of nuclei, too.
    waves = np.sin((rows + columns / 3) * np.pi * mpp / NUCLEUS_UM)[..., None]
    tiles.append((pink + 40 * waves).clip(0, 255).astype(np.uint8))
    return np.stack(tiles)


def _hash_of(network: Any) -> str:
    """Hash of code: of a network that of all modules in it, and of how they are put together."""
    if not isinstance(network, nn.Module):
        return code_hash(network)
    kinds = sorted({type(module) for module in network.modules()}, key=lambda kind: kind.__qualname__)
    told = "\n".join([repr(network), *(f"{kind.__qualname__} {code_hash(kind)}" for kind in kinds)])
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def register_encoder(
    name: str,
    network: nn.Module | Callable[[UInt8Tiles], Any],
    *,
    tile_px: int = 128,
    mpp: float = 0.5,
    licence: str = "not stated",
) -> EncoderSpec:
    """Let ``histonic.compress(encoder=NAME)`` of this session use an encoder of one's own.

    It is tried on two tiles now, so that slips show before any slide is read. Its code and weights count in
    the fingerprint of the maps: a store does not take maps of a changed one. Other processes know nothing of
    it: the command line, and a bundle that is to predict from slides elsewhere, need a class that can be
    imported, registered by the entry point ``histonic.encoders``. Maps can be used anywhere.
    One with the same code for all tiles that it is tried on is taken with a warning.

    Args:
        name: What it is called; a name of this session is replaced.
        network: A network from float32 ``(B, 3, H, W)`` of 0..1 RGB, or a function from uint8
            ``(N, H, W, 3)``, to codes ``(N, D)``. A network is put into evaluation mode in a copy.
        tile_px: Side of its tiles in pixels.
        mpp: Microns per pixel of its tiles.
        licence: Of the weights, for what is made with them.

    Returns:
        What is known of it, with the code size that it showed.

    Raises:
        EncoderError: It gives no codes for tiles, or others for the same tile.
        SettingsError: The name is taken or cannot be used.

    Example:
        >>> register_encoder("brightness", lambda tiles: tiles.mean((1, 2)) / 255, tile_px=64).code_size
        3
        >>> ENCODERS.forget("brightness")
    """
    asked = f"Register the encoder {name!r}."
    architecture = f"{name}:{_hash_of(network)}"
    spec = EncoderSpec(name, architecture, tile_px, mpp, 1, "own", licence)
    tiles = np.random.default_rng(0).integers(0, 256, (TRIED, tile_px, tile_px, 3), np.uint8)
    tiles[1:] //= 4  # Tiles that look alike would hide what is computed over all of a batch.
    made = SessionEncoderClass(spec, network).create("cpu", "32")
    try:
        codes, again, alone = (made._codes(given.copy()) for given in (tiles, tiles, tiles[:1]))
    except Exception as error:
        raise _failed(asked, f"two tiles of {tile_px} px", error) from error
    if codes.ndim != 2 or len(codes) != TRIED or not np.isfinite(codes).all():
        finite = "" if np.isfinite(codes).all() else " with values that are not finite"
        raise EncoderError(
            asked,
            f"For {TRIED} tiles it gave an array of shape {codes.shape}{finite}.",
            "Return one code a tile: finite numbers (N, D).",
        )
    for other, called in ((again, f"{TRIED} tiles a second time"), (alone, "one tile")):
        wanted = (1 if other is alone else TRIED, codes.shape[1])
        if other.shape != wanted:
            raise EncoderError(
                asked,
                f"For {called} it gave an array of shape {other.shape}.",
                f"Return {wanted}: also where there is one tile, a row for each.",
            )
    if when := differs(codes, again, alone, "tile"):
        raise EncoderError(
            asked,
            f"For {when} it gave other codes.",
            "A code has to hang on its tile alone: take out what is random, and what is computed over "
            "all tiles of a batch.",
        )
    word = ""
    if _are_the_same(codes, codes):
        try:
            more = made._codes(_beyond_noise(tile_px, mpp))
        except Exception as error:
            raise _failed(asked, "plain and tissue-like tiles", error) from error
        if _are_the_same(more, codes):
            word = (
                f"The encoder {name!r} has one code for all tiles that it was tried on: noise, plain colours "
                "and painted nuclei and fibres are the same in the half precision that maps "
                "keep. If it tells no tiles of yours apart, look for numbers that are cut off or rounded to "
                "nothing, a layer of zeros, tiles that are scaled twice, or a function that does not look at "
                "what it is given."
            )
        codes = np.concatenate([codes, more])
    if not isinstance(network, nn.Module):
        # What a function reaches (a network, a number of the session) shows in what it gives alone.
        shown = hashlib.sha256(np.char.mod("%.4e", codes.astype(np.float64)).tobytes()).hexdigest()[:12]
        architecture = f"{architecture}-{shown}"
    spec = EncoderSpec(name, architecture, tile_px, mpp, codes.shape[1], "own", licence)
    ENCODERS.register(name, SessionEncoderClass(spec, network))
    if word:
        warnings.warn(word, stacklevel=2)
    return spec
