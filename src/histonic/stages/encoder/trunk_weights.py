"""Weights to begin with: another encoder's file, or a timm model's own."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from histonic.core.errors import EncoderError
from histonic.encoders.base import Encoder, EncoderSpec, load_encoder
from histonic.encoders.foreign.timm import TimmNetwork
from histonic.encoders.networks.convolutional import NetworkEncoder
from histonic.encoders.networks.nic import NicNetwork
from histonic.encoders.networks.nic_appearance import NicAppearanceNetwork


def load_weights(trunk: nn.Module, spec: EncoderSpec, path: Path) -> None:
    """Fill a trunk with the weights of a file.

    Args:
        trunk: Of the architecture ``spec`` names.
        spec: Of the encoder to be trained.
        path: An encoder of the same architecture and code size, as histonic writes it; for a timm trunk also
            the state dict of the timm model.

    Raises:
        EncoderError: The file is absent or damaged, or of another architecture or code size.
    """
    if isinstance(trunk, TimmNetwork):
        trunk.load_weights(path)
        return
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
    if given.spec.code_size != spec.code_size:
        raise EncoderError(
            asked,
            f"They give codes of {given.spec.code_size} numbers, not {spec.code_size}.",
            f"Use --code-size {given.spec.code_size}.",
        )
    trunk.load_state_dict(given.network.state_dict())


def _load_body(trunk: NicNetwork, given: Encoder, path: Path) -> None:
    """The convolutions of a NIC encoder; the code layer, of another size, begins anew."""
    if not isinstance(given, NetworkEncoder):
        raise EncoderError(f"Begin with the weights in {path}.", "They are no network.", "Give another file.")
    state = given.network.state_dict()
    trunk.body.load_state_dict(
        {name.removeprefix("body."): value for name, value in state.items() if name.startswith("body.")}
    )
