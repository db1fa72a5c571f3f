"""What a tile encoder is: a spec, a fingerprint, and tiles in, codes out."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from histonic.core.compressed import EncoderDescription
from histonic.core.compressed import EncoderSpec as EncoderSpec
from histonic.core.documents import Document, parse_document
from histonic.core.errors import EncoderError
from histonic.core.files import replacing_file
from histonic.core.registry import Entry, Registry
from histonic.encoders.asked import asked_elsewhere
from histonic.nn.weights_files import system_errors

Tensors = Mapping[str, npt.NDArray[Any]]
UInt8Tiles = npt.NDArray[np.uint8]
HEADS_FILE = "heads.safetensors"
"""Beside an encoder what it says of a tile besides its code, see ``histonic.encoders.tile_heads``."""
PIXELS_AT_ONCE = 8 * 128 * 128
"""The first layers' maps are 20 to 30 times the bytes of the tiles: of small parts they stay near a core."""
LEAST_AT_ONCE = 8


class EncoderMetadata(Document):
    """What stands in an encoder's file beside its weights.

    Attributes:
        spec: What it expects and gives.
        fingerprint: Hash of spec and weights at 32 bits; empty in files of earlier versions.
    """

    FORMAT = "histonic-encoder-1"

    spec: EncoderSpec
    fingerprint: str = ""


class Encoder(Protocol):
    """A tile encoder, ready to use."""

    spec: EncoderSpec

    @property
    def fingerprint(self) -> str:
        """Hash of everything that the codes depend on."""

    @property
    def tensors(self) -> Tensors:
        """Its weights by name, as in its file; of an encoder without weights none."""

    def encode(self, tiles: UInt8Tiles) -> npt.NDArray[np.float32]:
        """Codes of a batch of tiles.

        Args:
            tiles: uint8 ``(N, H, W, 3)`` RGB, H = W = ``spec.tile_px``, at ``spec.mpp``.

        Returns:
            float32 ``(N, D)``.
        """

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the encoder to one safetensors file that :func:`load_encoder` reads."""


class EncoderClass(Protocol):
    """What the registry holds: a way to make an encoder, with or without weights.

    A class may have a method ``named(argument, device, precision)`` for ``NAME:ARGUMENT``.
    """

    def create(self, device: str, precision: str) -> Encoder:
        """Make the encoder that needs no weights; EncoderError where weights are needed."""

    def from_tensors(self, spec: EncoderSpec, tensors: Tensors, device: str, precision: str) -> Encoder:
        """Make the encoder from its spec and weights."""


ENCODERS: Registry[EncoderClass] = Registry(
    "encoder",
    "histonic.encoders",
    (
        Entry(
            "histonic-lite",
            "histonic.encoders.shipped:ShippedLite",
            "what photographs taught EfficientNet-Lite0, and statistics of a tile; weights in the package; "
            "the default",
        ),
        Entry(
            "histonic-mtl",
            "histonic.encoders.shipped:ShippedMultitask",
            "multitask encoder trained on five public tile sets; weights in the package",
        ),
        Entry("colour", "histonic.encoders.colour:ColourEncoder", "colour moments of a tile; no weights"),
        Entry("mean-rgb", "histonic.encoders.colour:MeanRgbEncoder", "mean colour of a tile; no weights"),
        Entry(
            "pixels",
            "histonic.encoders.pixels:PixelsEncoder",
            "pixels as they are at 2 µm/px, or at pixels:MPP, for the aggregator streaming; no weights",
        ),
        Entry(
            "appearance",
            "histonic.encoders.statistics:AppearanceEncoder",
            "statistics of colour, stain and texture of a tile; no weights",
        ),
        Entry(
            "nic",
            "histonic.encoders.networks.nic:NicEncoder",
            "convolutional encoder of the NIC papers; weights from a file (histonic encoder import)",
        ),
        Entry(
            "nic-appearance",
            "histonic.encoders.networks.nic_appearance:NicAppearanceEncoder",
            "the same, half of its code statistics of colour, stain and texture; weights from a file",
        ),
        Entry(
            "tellez2019",
            "histonic.encoders.networks.tellez:TellezEncoder",
            "convolutional encoder of the NIC paper's VAE and contrastive methods; weights from a file",
        ),
        Entry(
            "nic-small",
            "histonic.encoders.networks.small:SmallEncoder",
            "convolutional encoder of the NIC paper's synthetic task, for tiny tiles; weights from a file",
        ),
        Entry(
            "lite-appearance",
            "histonic.encoders.networks.lite:LiteAppearanceEncoder",
            "features of photographs (EfficientNet-Lite0) and statistics of a tile; weights from a file",
        ),
        Entry(
            "lite",
            "histonic.encoders.networks.lite:LiteEncoder",
            "EfficientNet-Lite0 up to its middle and a code layer, to be trained; weights from a file",
        ),
        Entry(
            "projected",
            "histonic.encoders.networks.projected:ProjectedEncoder",
            "a frozen encoder whose codes are made shorter by a layer (histonic encoder train --objective "
            "components, or --freeze-trunk)",
        ),
        Entry(
            "timm",
            "histonic.encoders.foreign.timm:TimmEncoder",
            "any model of the timm package; weights from a file (histonic encoder import)",
            needs=("timm",),
        ),
        Entry(
            "mtdp",
            "histonic.encoders.foreign.mtdp:MtdpEncoder",
            "ResNet50 and DenseNet121 pre-trained on 22 tasks by Mormont et al.; weights from their file",
            needs=("timm",),
        ),
        Entry(
            "transformers",
            "histonic.encoders.foreign.transformers_models:TransformersEncoder",
            "vision models of the transformers package; weights from a folder (histonic encoder import)",
            needs=("transformers",),
        ),
        Entry(
            "keras",
            "histonic.encoders.networks.keras:KerasEncoder",
            "a chain of Keras layers; weights from a file (histonic encoder import FILE.h5)",
        ),
        Entry(
            "torchscript",
            "histonic.encoders.foreign.torchscript:ScriptEncoder",
            "a network exported as TorchScript (histonic encoder import)",
        ),
    ),
)


def architecture_entry(spec: EncoderSpec) -> str:
    """The name in ``ENCODERS`` of what runs an encoder: its architecture up to a colon.

    Example:
        >>> architecture_entry(EncoderSpec("mine", "timm:resnet18", 128, 0.5, 512))
        'timm'
    """
    return spec.architecture.partition(":")[0]


def fingerprint_of(spec: EncoderSpec, tensors: Tensors, precision: str = "32") -> str:
    """Hash of all that the codes depend on: architecture, geometry, normalisation, weights, precision."""
    digest = hashlib.sha256()
    facts: list[Any] = [spec.architecture, spec.tile_px, spec.mpp, spec.code_size, spec.normalisation]
    facts.append(precision)
    if spec.trunk is not None:
        facts.append({**asdict(spec.trunk), "arguments": dict(spec.trunk.arguments), "preset": ""})
    if spec.projection is not None:
        # Without a limit a projection is what it was before there were any.
        facts.append({name: value for name, value in asdict(spec.projection).items() if value is not None})
    if spec.stain is not None:
        facts.append([spec.stain.method, spec.stain.target.model_dump(mode="json")])
    digest.update(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name}{tensor.dtype}{tensor.shape}".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def batch_of(spec: EncoderSpec) -> int:
    """How many tiles of an encoder a core takes at a time.

    Example:
        >>> [batch_of(EncoderSpec("one", "nic", side, 0.5, 128)) for side in (64, 128, 224)]
        [32, 8, 8]
    """
    return max(LEAST_AT_ONCE, PIXELS_AT_ONCE // spec.tile_px**2)


def check_tiles(spec: EncoderSpec, tiles: UInt8Tiles) -> None:
    """Refuse tiles that the encoder was not made for.

    Raises:
        EncoderError: Not uint8 ``(N, tile_px, tile_px, 3)``.
    """
    wanted = (spec.tile_px, spec.tile_px, 3)
    if tiles.dtype != np.uint8 or tiles.ndim != 4 or tiles.shape[1:] != wanted:
        raise EncoderError(
            f"Encode tiles with {spec.name!r}.",
            f"The tiles are {tiles.dtype} {tiles.shape}.",
            f"Give uint8 (N, {wanted[0]}, {wanted[1]}, 3) at {spec.mpp} µm/px.",
        )


def save_encoder(path: str | os.PathLike[str], spec: EncoderSpec, tensors: Tensors) -> None:
    """Write spec and weights to one safetensors file, all or nothing."""
    # safetensors stores Fortran-ordered arrays wrong without a word.
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    facts = EncoderMetadata(spec=spec, fingerprint=fingerprint_of(spec, contiguous))
    # One key only: safetensors writes several in an order that changes from run to run.
    metadata = {"histonic": json.dumps(facts.to_dict(), sort_keys=True)}
    with replacing_file(path) as partial, system_errors():
        save_file(contiguous, partial, metadata=metadata)


def encoder_spec(name_or_path: str | os.PathLike[str]) -> EncoderSpec:
    """What an encoder expects and gives; of a file only the header is read.

    Raises:
        EncoderError: As :func:`load_encoder`.
        SettingsError: No encoder has that name.

    Example:
        >>> encoder_spec("colour").code_size
        18
    """
    return encoder_metadata(name_or_path).spec


def encoder_metadata(name_or_path: str | os.PathLike[str]) -> EncoderMetadata:
    """What stands in the header of an encoder's file; of a name what would stand there.

    Raises:
        EncoderError: As :func:`load_encoder`.
        SettingsError: No encoder has that name.
    """
    path = Path(name_or_path)
    if os.fspath(name_or_path) in ENCODERS or not path.is_file():
        loaded = load_encoder(name_or_path)
        return EncoderMetadata(spec=loaded.spec, fingerprint=loaded.fingerprint)
    try:
        with safe_open(path, "numpy") as file:
            facts = json.loads((file.metadata() or {})["histonic"])
    except (SafetensorError, OSError, ValueError, LookupError, RecursionError):
        loaded = load_encoder(path)  # says what is wrong
        return EncoderMetadata(spec=loaded.spec, fingerprint=loaded.fingerprint)
    return parse_document(EncoderMetadata, facts, path, EncoderError, "Copy or import it again.")


def load_encoder(
    name_or_path: str | os.PathLike[str], *, device: str = "cpu", precision: str = "32"
) -> Encoder:
    """Load an encoder by registry name or from a file.

    Args:
        name_or_path: Such as ``colour``, or a ``.safetensors`` file of an encoder; ``NAME:ARGUMENT`` of those
            that take one, such as ``pixels:4``.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``32`` or ``bf16``.

    Raises:
        EncoderError: The file is absent, damaged, or no histonic encoder; or the name needs weights.
        SettingsError: No encoder has that name.

    Example:
        >>> encoder = load_encoder("colour")
        >>> encoder.encode(np.zeros((2, 128, 128, 3), np.uint8)).shape
        (2, 18)
    """
    text = os.fspath(name_or_path)
    if text in ENCODERS:
        return ENCODERS.get(text).create(device, precision)
    name, colon, argument = text.partition(":")
    if colon and name in ENCODERS and not Path(text).exists():
        named = getattr(ENCODERS.get(name), "named", None)
        if callable(named):
            return cast(Encoder, named(argument, device, precision))
    path = Path(text)
    if (elsewhere := asked_elsewhere(text)) is not None:
        raise EncoderError(f"Load the encoder {text}.", *elsewhere)
    if path.suffix != ".safetensors" and not path.exists():
        ENCODERS.get(text)  # raises with the nearest name
    return _load_file(path, device, precision)


def _load_file(path: Path, device: str, precision: str) -> Encoder:
    asked = f"Load the encoder {path}."
    if not path.is_file():
        raise EncoderError(
            asked, "There is no such file.", "Check the path, or use a name from 'histonic list'."
        )
    try:
        with safe_open(path, "numpy") as file:
            facts = json.loads((file.metadata() or {}).get("histonic", "null"))
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except (SafetensorError, OSError, ValueError, TypeError, RecursionError) as error:
        raise EncoderError(asked, f"The file cannot be read: {error}.", "Copy or import it again.") from error
    if facts is None:
        raise EncoderError(
            asked,
            "The file holds tensors but no histonic encoder.",
            "Make one with 'histonic encoder import'.",
        )
    read = parse_document(EncoderMetadata, facts, path, EncoderError, "Copy or import it again.")
    spec = read.spec
    if read.fingerprint and read.fingerprint != fingerprint_of(spec, tensors):
        raise EncoderError(
            asked, "Its weights or settings have changed since it was written.", "Copy or import it again."
        )
    return ENCODERS.get(architecture_entry(spec)).from_tensors(
        spec, cast("dict[str, npt.NDArray[Any]]", tensors), device, precision
    )


def describe(encoder: Encoder) -> EncoderDescription:
    """Name, fingerprint and spec, as stored in every map, run and bundle."""
    return EncoderDescription(name=encoder.spec.name, fingerprint=encoder.fingerprint, spec=encoder.spec)
