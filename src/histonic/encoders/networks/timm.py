"""Any model of the timm package (extra ``timm``) as a tile encoder, with given weights or without any."""

from __future__ import annotations

import difflib
import importlib
import os
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from histonic.core.errors import EncoderError
from histonic.encoders.base import EncoderSpec
from histonic.encoders.networks.convolutional import NetworkEncoder
from histonic.encoders.networks.timm_weights import load_timm_weights


class TimmNetwork(nn.Module):
    """Tiles to codes by the pooled features of a timm model, without its classifier.

    Nothing is ever downloaded: the weights are random or come from a file. The change from -1..1 to the
    colours that the model's own weights were trained on is part of the network, and of its state dict, so
    that a later timm with another default changes no code.

    Args:
        model_name: As in ``timm.list_models()``, such as ``resnet18`` or ``vit_small_patch16_224``.
        code_size: D. A linear layer makes the code from the features, unless D is their number or None:
            then the features are the code.
        tile_px: Side of the tiles; models of a fixed input size are built for it.
        weights: File for :meth:`load_weights`. None: random weights.

    Attributes:
        feature_size: F, the features of the model.
        code_size: D.

    Raises:
        EncoderError: timm is absent or does not import, has no such model, the model does not take such
            tiles, or the weights do not fit.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        model_name: str,
        code_size: int | None = None,
        tile_px: int = 128,
        weights: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        self.model_name = model_name
        self.tile_px = tile_px
        self.trunk = _make_trunk(model_name, tile_px)
        self.feature_size = _count_features(self.trunk, model_name, tile_px)
        self.code_size = self.feature_size if code_size is None else code_size
        own = self.code_size == self.feature_size
        self.code: nn.Module = nn.Identity() if own else nn.Linear(self.feature_size, self.code_size)
        facts = cast("dict[str, Any]", self.trunk.pretrained_cfg)
        mean, std = torch.tensor(facts["mean"]), torch.tensor(facts["std"])
        # (x + 1) / 2 is the tile in 0..1, of which the model takes (... - mean) / std.
        self.register_buffer("scale", (0.5 / std).view(1, -1, 1, 1))
        self.register_buffer("shift", ((0.5 - mean) / std).view(1, -1, 1, 1))
        if weights is not None:
            self.load_weights(weights)

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Fill the model, not the linear layer after it, from a file.

        Args:
            path: The timm model's state dict (``.pth``, ``.pt``, ``.bin`` or ``.safetensors``; the classifier
                in it is left out), or a histonic encoder made from the same model.

        Raises:
            EncoderError: The file cannot be read, or its weights are not those of this model.
        """
        facts = cast("dict[str, Any]", self.trunk.pretrained_cfg)
        size = f"built for tiles of {self.tile_px} px"
        asked = f"Load the weights {os.fspath(path)} into the timm model {self.model_name!r}, {size}."
        load_timm_weights(self.trunk, Path(path), asked, leave_out=facts.get("classifier") or ())

    def features(self, tiles: Tensor) -> Tensor:
        """The features of the model ``(B, F)``."""
        return torch.as_tensor(self.trunk(tiles * self.scale + self.shift))

    def forward(self, tiles: Tensor) -> Tensor:
        """Codes ``(B, D)`` of tiles ``(B, 3, H, W)`` scaled to -1..1."""
        return torch.as_tensor(self.code(self.features(tiles)))


class TimmEncoder(NetworkEncoder):
    """A :class:`TimmNetwork` with weights, as an encoder of uint8 tiles of architecture ``timm:MODEL``."""

    architecture = "timm"

    @classmethod
    def create(cls, device: str, precision: str) -> TimmEncoder:
        """Refuse: this encoder needs a model name and weights.

        Raises:
            EncoderError: Always.
        """
        raise EncoderError(
            "Use the encoder 'timm'.",
            "It names a family of architectures, without weights.",
            "Give an encoder file made from a timm model (docs/how-to/timm-models.md).",
        )

    @classmethod
    def build(cls, spec: EncoderSpec) -> TimmNetwork:
        """The network of a spec, with fresh weights."""
        return TimmNetwork(spec.architecture.partition(":")[2], spec.code_size, spec.tile_px)


def make_encoder(
    model_name: str,
    weights: str | os.PathLike[str],
    *,
    licence: str,
    tile_px: int = 224,
    mpp: float = 0.5,
    name: str | None = None,
) -> TimmEncoder:
    """An encoder from a timm model and a file of its weights, ready to use or to save.

    Args:
        model_name: As in ``timm.list_models()``.
        weights: ``.pth``, ``.pt``, ``.bin`` or ``.safetensors`` file of this model's state dict.
        licence: Licence of the weights, repeated in the spec.
        tile_px: Side of the tiles that it shall take.
        mpp: Microns per pixel of those tiles.
        name: The encoder's own name; the model's name where none is given.

    Raises:
        EncoderError: See :class:`TimmNetwork`.
    """
    network = TimmNetwork(model_name, None, tile_px, weights)
    spec = EncoderSpec(
        name or model_name,
        f"{TimmEncoder.architecture}:{model_name}",
        tile_px,
        mpp,
        network.code_size,
        licence=licence,
        provenance=f"timm model {model_name}, weights of {Path(weights).name}",
    )
    return TimmEncoder(spec, network)


def _import_timm(asked: str) -> Any:
    try:
        # Imported by its name only here, since the package is an extra.
        return importlib.import_module("timm")
    except ImportError as error:
        raise EncoderError(
            asked, f"timm cannot be imported: {error}.", "pip install 'histonic[timm]'"
        ) from error
    except RuntimeError as error:
        # A torchvision built for another torch fails with "operator torchvision::nms does not exist".
        raise EncoderError(
            asked,
            f"timm cannot be imported, since torchvision does not fit the installed torch: {error}.",
            f"Install the torchvision that belongs to torch {torch.__version__}, from the same index.",
        ) from error


def _make_trunk(model_name: str, tile_px: int) -> nn.Module:
    asked = f"Build the timm model {model_name!r}."
    timm = _import_timm(asked)
    # A name with a source before a colon, such as hf-hub:..., would be fetched.
    if ":" in model_name or not timm.is_model(model_name):
        near = difflib.get_close_matches(model_name, timm.list_models(), n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise EncoderError(
            asked,
            f"timm {timm.__version__} has no model of that name.",
            f"{hint}timm.list_models() lists them all.",
        )
    facts = timm.get_pretrained_cfg(model_name)
    size = {"img_size": tile_px} if facts is not None and facts.fixed_input_size else {}
    try:
        trunk = timm.create_model(model_name, pretrained=False, num_classes=0, **size)
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise _refuse_size(model_name, tile_px, error) from error
    return cast(nn.Module, trunk)


@torch.no_grad()
def _count_features(trunk: nn.Module, model_name: str, tile_px: int) -> int:
    """Asked of the model itself: its attribute for it has another name and meaning from family to family."""
    was_training = trunk.training
    try:
        features = trunk.eval()(torch.zeros(1, 3, tile_px, tile_px))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise _refuse_size(model_name, tile_px, error) from error
    trunk.train(was_training)
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise EncoderError(
            f"Build the timm model {model_name!r}.",
            "It gives no single vector of features for a tile.",
            "Choose a model that is an image classifier.",
        )
    return int(features.shape[1])


def _refuse_size(model_name: str, tile_px: int, error: Exception) -> EncoderError:
    return EncoderError(
        f"Build the timm model {model_name!r} for tiles of {tile_px} px.",
        f"It does not take them: {error}.",
        "Give another tile_px, such as 224, or choose another model.",
    )
