"""Any model of the timm package (extra ``timm``) as a tile encoder, with given weights or without any."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from histonic.core.compressed import TrunkDescription
from histonic.core.errors import EncoderError
from histonic.encoders.base import EncoderSpec
from histonic.encoders.foreign.colours import scale_and_shift
from histonic.encoders.foreign.pooling import pooled
from histonic.encoders.foreign.timm_models import make_model, refuse_size
from histonic.encoders.foreign.timm_weights import load_timm_weights
from histonic.encoders.networks.convolutional import NetworkEncoder


class TimmNetwork(nn.Module):
    """Tiles to codes by the pooled features of a timm model, without its classifier.

    Nothing is ever downloaded: the weights are random or come from a file. The change from -1..1 to the
    colours that the weights were trained on is part of the network, and of its state dict, so that a later
    timm with another default changes no code.

    Args:
        model_name: As in ``timm.list_models()``, such as ``resnet18`` or ``vit_small_patch16_224``.
        code_size: D. A linear layer makes the code from the features, unless D is their number or None:
            then the features are the code.
        tile_px: Side of the tiles; models of a fixed input size are built for it.
        weights: File for :meth:`load_weights`. None: random weights.
        described: How the model is built and pooled and which colours it sees; None: as timm has it, with the
            colours of timm's own weights.

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
        described: TrunkDescription | None = None,
    ) -> None:
        super().__init__()
        self.model_name = model_name
        self.tile_px = tile_px
        self.pooling = described.pooling if described is not None else "model"
        arguments = described.arguments if described is not None else {}
        self.trunk = make_model(model_name, tile_px, arguments, f"Build the timm model {model_name!r}.")
        self.feature_size = self._count_features()
        self.code_size = self.feature_size if code_size is None else code_size
        own = self.code_size == self.feature_size
        self.code: nn.Module = nn.Identity() if own else nn.Linear(self.feature_size, self.code_size)
        facts = cast("dict[str, Any]", self.trunk.pretrained_cfg)
        colours = (facts["mean"], facts["std"]) if described is None else (described.mean, described.std)
        scale, shift = scale_and_shift(*colours)
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)
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
        return self._pooled(tiles * self.scale + self.shift)

    def _pooled(self, seen: Tensor) -> Tensor:
        if self.pooling == "model":
            return torch.as_tensor(self.trunk(seen))
        tokens = cast(Any, self.trunk).forward_features(seen)
        return pooled(tokens, self.pooling, getattr(self.trunk, "num_prefix_tokens", 0), self.model_name)

    @torch.no_grad()
    def _count_features(self) -> int:
        """Asked of the model itself: its attribute for it has another meaning from family to family."""
        was_training = self.trunk.training
        self.trunk.eval()
        try:
            features = self._pooled(torch.zeros(1, 3, self.tile_px, self.tile_px))
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:
            raise refuse_size(self.model_name, self.tile_px, error) from error
        self.trunk.train(was_training)
        if features.ndim != 2:
            raise EncoderError(
                f"Build the timm model {self.model_name!r}.",
                "It gives no single vector of features for a tile.",
                "Choose a model that is an image classifier, or say how its tokens are pooled.",
            )
        return int(features.shape[1])

    def forward(self, tiles: Tensor) -> Tensor:
        """Codes ``(B, D)`` of tiles ``(B, 3, H, W)`` scaled to -1..1."""
        return torch.as_tensor(self.code(self.features(tiles)))


class TimmEncoder(NetworkEncoder):
    """A :class:`TimmNetwork` with weights, as an encoder of uint8 tiles of architecture ``timm:MODEL``."""

    architecture = "timm"

    @classmethod
    def create(cls, device: str, precision: str) -> Self:
        """Refuse: this encoder needs a model name and weights.

        Raises:
            EncoderError: Always.
        """
        raise EncoderError(
            "Use the encoder 'timm'.",
            "It names a family of architectures, without weights.",
            "Give an encoder file, made by 'histonic encoder import' (docs/how-to/foundation-encoders.md).",
        )

    @classmethod
    def build(cls, spec: EncoderSpec) -> TimmNetwork:
        """The network of a spec, with fresh weights."""
        model_name = spec.architecture.partition(":")[2]
        return TimmNetwork(model_name, spec.code_size, spec.tile_px, described=spec.trunk)
