"""Weights to begin with: those of another encoder's file, which says what they were trained to see."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from histonic.core.compressed import TrunkDescription
from histonic.core.errors import EncoderError
from histonic.encoders.base import Encoder, EncoderSpec, encoder_spec, load_encoder
from histonic.encoders.foreign.timm import TimmNetwork
from histonic.encoders.networks.convolutional import NetworkEncoder
from histonic.encoders.networks.lite import LiteNetwork
from histonic.encoders.networks.nic import NicNetwork
from histonic.encoders.networks.nic_appearance import NicAppearanceNetwork


def load_weights(trunk: nn.Module, spec: EncoderSpec, path: Path) -> None:
    """Fill a trunk with the weights of a file.

    Args:
        trunk: Of the architecture ``spec`` names.
        spec: Of the encoder to be trained.
        path: An encoder of the same architecture and code size, as histonic writes it; of a timm or lite
            trunk also with another code size, whose code layer then begins anew.

    Raises:
        EncoderError: The file is absent or damaged, or of another architecture or code size.
    """
    given = load_encoder(path)
    if isinstance(trunk, NicAppearanceNetwork) and given.spec.architecture == "nic":
        _load_body(trunk.learned, given, path)
        return
    asked = f"Begin training {spec.architecture!r} with the weights in {path}."
    if not isinstance(given, NetworkEncoder) or given.spec.architecture != spec.architecture:
        raise EncoderError(
            asked,
            f"They are of {given.spec.architecture!r}.",
            f"Use --trunk {given.spec.architecture}, or other weights.",
        )
    if isinstance(trunk, TimmNetwork | LiteNetwork):
        _load_trunk(trunk, given, asked)
        return
    if given.spec.code_size != spec.code_size:
        raise EncoderError(
            asked,
            f"They give codes of {given.spec.code_size} numbers, not {spec.code_size}.",
            f"Use --code-size {given.spec.code_size}.",
        )
    trunk.load_state_dict(given.network.state_dict())


def trunk_of(path: Path, architecture: str) -> TrunkDescription | None:
    """How the trunk of a timm encoder's file is built and what it sees; None where the file does not say.

    Raises:
        EncoderError: The file is no encoder, or one of another architecture.
    """
    asked = f"Begin training {architecture!r} with the weights in {path}."
    try:
        given = encoder_spec(path)
    except EncoderError as error:
        raise EncoderError(
            asked,
            f"Nothing says which colours its weights were trained on; it is no encoder file: {error.found}",
            f"Import it first: histonic encoder import {path} --architecture {architecture} --colours timm "
            "(or --mean and --std) --mpp MPP --out ENCODER.safetensors",
        ) from error
    if given.architecture != architecture:
        raise EncoderError(
            asked,
            f"They are of {given.architecture!r}.",
            f"Use --trunk {given.architecture}, or other weights.",
        )
    return given.trunk


def _load_trunk(trunk: TimmNetwork | LiteNetwork, given: NetworkEncoder, asked: str) -> None:
    """All weights of a timm or lite encoder, and its code layer where that has the same size."""
    own, state = trunk.state_dict(), given.network.state_dict()
    fitting = {name: value for name, value in state.items() if name in own and value.shape == own[name].shape}
    missing = [name for name in own if name not in fitting and not name.startswith("code.")]
    if missing:
        raise EncoderError(
            asked,
            f"{len(missing)} weights of the trunk are not in the file or of another shape, such as "
            f"{missing[0]!r}.",
            f"Give --tile-px {given.spec.tile_px}, as the encoder has it, or other weights.",
        )
    code = {name for name in own if name.startswith("code.")}
    taken = fitting if code <= fitting.keys() else {n: v for n, v in fitting.items() if n not in code}
    trunk.load_state_dict({**own, **taken})


def _load_body(trunk: NicNetwork, given: Encoder, path: Path) -> None:
    """The convolutions of a NIC encoder; the code layer, of another size, begins anew."""
    if not isinstance(given, NetworkEncoder):
        raise EncoderError(f"Begin with the weights in {path}.", "They are no network.", "Give another file.")
    state = given.network.state_dict()
    trunk.body.load_state_dict(
        {name.removeprefix("body."): value for name, value in state.items() if name.startswith("body.")}
    )
