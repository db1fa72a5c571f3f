"""Layers that can be streamed: what each looks at, and how it is computed over a part of its map."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm

from histonic.nn.streaming.windows import CELLWISE, Span, Window

Windows = tuple[Window, Window]
"""Along rows and along columns."""
BOTH_CELLWISE = (CELLWISE, CELLWISE)
CELLWISE_LAYERS = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Softplus,
    nn.Softsign,
    nn.Sigmoid,
    nn.Tanh,
    nn.Hardtanh,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.LogSigmoid,
)


class Cellwise(nn.Module):
    """A layer, to be derived from, that computes each position of its output from that position alone.

    It is run as a whole and never looked into: its ``forward`` may do what tracing cannot follow, as long as
    it takes a map ``(B, C, R, K)``, gives one of as many rows and columns, and draws nothing at random.

    Example:
        >>> class Halved(Cellwise):
        ...     def forward(self, maps):
        ...         return maps / 2
        >>> from histonic.nn.streaming.streamed import stream
        >>> float(stream(Halved(), torch.ones(1, 1, 9, 9), tile_px=4).sum())
        40.5
    """


@dataclass(frozen=True)
class Part:
    """Where a part of a layer lies.

    Attributes:
        spans: Its rows and columns in the layer's output.
        sizes: Rows and columns of the whole map below.
        pads: What is filled in: above, below, left, right.
    """

    spans: tuple[Span, Span]
    sizes: tuple[int, int]
    pads: tuple[int, int, int, int]


Compute = Callable[[Sequence[Tensor], Part], Tensor]


@dataclass(frozen=True)
class Rule:
    """How a layer is streamed.

    Attributes:
        windows: What it looks at.
        compute: The maps that it needs, and where the part lies, to the part of its output.
        in_place: Whether it overwrites what it is given.
        channels: Of its output; None: those of its first map.
        joins: Whether its channels are those of all its maps, side by side.
        light: Whether it costs next to nothing, so that it is rather computed again than kept.
        opaque: Whether it is not known what it costs, so that it is never computed again within a pass.
    """

    windows: Windows
    compute: Compute
    in_place: bool = False
    channels: int | None = None
    joins: bool = False
    light: bool = False
    opaque: bool = False


class CannotStream(Exception):
    """A layer cannot be streamed; why, and what can be done."""

    def __init__(self, found: str, todo: str) -> None:
        super().__init__(found, todo)
        self.found = found
        self.todo = todo


BEHIND = "Put it behind the layers that are streamed."


def rule_of(module: nn.Module) -> Rule:
    """How a layer is streamed.

    Raises:
        CannotStream: It looks further than a window, or its kind is not known.
    """
    if isinstance(module, nn.Identity):
        return SAME
    if isinstance(module, Cellwise | nn.LocalResponseNorm):
        return Rule(BOTH_CELLWISE, lambda maps, _: cast(Tensor, module(maps[0])), opaque=True)
    if isinstance(module, CELLWISE_LAYERS):
        return _pointwise(module)
    if isinstance(module, nn.Conv2d):
        return _convolution(module)
    if isinstance(module, nn.MaxPool2d):
        if module.return_indices:
            raise CannotStream("It also gives the places of its maxima.", BEHIND)
        return pooling(
            "max", module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode
        )
    if isinstance(module, nn.AvgPool2d):
        counts = (module.count_include_pad, module.divisor_override)
        return pooling(
            "mean", module.kernel_size, module.stride, module.padding, 1, module.ceil_mode, *counts
        )
    if isinstance(module, nn.ConstantPad2d | nn.ZeroPad2d):
        left, right, top, bottom = module.padding
        return padding((top, bottom), (left, right), float(getattr(module, "value", 0.0)))
    if isinstance(module, _BatchNorm | _InstanceNorm):
        return _norm(module)
    if isinstance(module, _DropoutNd):
        if module.training and module.p > 0:
            raise CannotStream(
                "It draws at random in training, and every part of the map would be drawn anew.",
                "Put dropout behind the layers that are streamed, or set its share to 0.",
            )
        return SAME
    raise _refusal(module)


def _refusal(module: nn.Module) -> CannotStream:
    kind = type(module).__name__
    if kind.startswith("Adaptive"):
        return CannotStream(f"{kind} looks at the whole map at once.", BEHIND)
    if isinstance(module, nn.GroupNorm | nn.LayerNorm):
        return CannotStream(
            f"{kind} takes mean and spread over the whole map, which no part of it knows.",
            "Use no normalisation there, or batch normalisation with fixed statistics (.eval()).",
        )
    return CannotStream(
        f"It is not known what {kind} looks at.",
        f"{BEHIND} A layer of your own that computes each position alone derives from Cellwise.",
    )


def cellwise(function: Callable[[Tensor], Tensor], in_place: bool = False) -> Rule:
    """A layer of one map that looks at one position at a time."""
    return Rule(BOTH_CELLWISE, lambda maps, _: function(maps[0]), in_place, light=True)


SAME = Rule(BOTH_CELLWISE, lambda maps, _: maps[0], light=True)
"""Of what hands its map through."""


def _pointwise(module: nn.Module) -> Rule:
    in_place = bool(getattr(module, "inplace", False))
    if in_place:
        # Parts of maps are looked at again; what would be overwritten is freed at once anyway.
        module = copy.copy(module)
        vars(module)["inplace"] = False
    return cellwise(module, in_place)


def _norm(module: _BatchNorm | _InstanceNorm) -> Rule:
    kind = type(module).__name__
    known = module.running_mean is not None and module.running_var is not None
    if isinstance(module, _InstanceNorm) and not (known and module.track_running_stats):
        raise CannotStream(
            f"{kind} takes mean and spread over the whole map, which no part of it knows.",
            "Use no normalisation there, or batch normalisation with fixed statistics (.eval()).",
        )
    if module.training or not known:
        raise CannotStream(
            f"{kind} takes its statistics from the batch, over the whole map, which no part of it knows.",
            "Fix them: call .eval() on that layer after every .train(), or build the network without it.",
        )
    return cellwise(module)


def _pair(value: int | Sequence[int] | None, other: tuple[int, int] | None = None) -> tuple[int, int]:
    if value is None:
        return other or (1, 1)
    if isinstance(value, int):
        return value, value
    if len(value) == 1:
        return value[0], value[0]
    return value[0], value[1]


def _convolution(module: nn.Conv2d) -> Rule:
    kernel, stride, dilation = _pair(module.kernel_size), _pair(module.stride), _pair(module.dilation)
    if isinstance(module.padding, str):
        whole = [dilation[axis] * (kernel[axis] - 1) if module.padding == "same" else 0 for axis in (0, 1)]
        pads = [(each // 2, each - each // 2) for each in whole]
    else:
        pads = [(each, each) for each in _pair(module.padding)]
    if module.padding_mode != "zeros" and any(any(pair) for pair in pads):
        raise CannotStream(
            f"It fills the border by {module.padding_mode!r}.", "Use padding_mode='zeros' or no padding."
        )
    rows, cols = (Window(kernel[axis], stride[axis], dilation[axis], *pads[axis]) for axis in (0, 1))

    def compute(maps: Sequence[Tensor], part: Part) -> Tensor:
        above, below, left, right = part.pads
        given, built_in = maps[0], (0, 0)
        if above == below and left == right:
            built_in = (above, left)
        elif left == right:
            given, built_in = F.pad(given, (0, 0, above, below)), (0, left)
        else:
            given = F.pad(given, (left, right, above, below))
        # oneDNN (torch 2.13) gives wrong values in bf16 where a strided result is one column wide.
        is_narrow = part.spans[1].size == 1 and stride[1] > 1
        if is_narrow:
            given = F.pad(given, (0, stride[1]))
        found = F.conv2d(given, module.weight, module.bias, stride, built_in, dilation, module.groups)
        return found[..., :1] if is_narrow else found

    return Rule((rows, cols), compute, channels=module.out_channels)


def pooling(
    kind: str,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Rule:
    """The rule of ``max`` or ``mean`` pooling; the arguments are those of torch."""
    kernel = _pair(kernel_size)
    step, pad, gap = _pair(stride, kernel), _pair(padding), _pair(dilation)
    if stride is not None and not isinstance(stride, int) and not len(stride):
        step = kernel
    rows, cols = (
        Window(kernel[axis], step[axis], gap[axis], pad[axis], pad[axis], ceil_mode) for axis in (0, 1)
    )

    def largest(maps: Sequence[Tensor], part: Part) -> Tensor:
        given = _filled(maps[0], part.pads, -torch.inf)
        return F.max_pool2d(given, kernel, step, 0, gap)

    def mean(maps: Sequence[Tensor], part: Part) -> Tensor:
        given = _filled(maps[0], part.pads, 0.0)
        if divisor_override is not None:
            return F.avg_pool2d(given, kernel, step, divisor_override=divisor_override)
        if not any(part.pads):
            return F.avg_pool2d(given, kernel, step)
        counts = [
            _counted(window, span, size, count_include_pad)
            for window, span, size in zip((rows, cols), part.spans, part.sizes, strict=True)
        ]
        shares = torch.tensor(counts[0])[:, None] * torch.tensor(counts[1])
        return F.avg_pool2d(given, kernel, step, divisor_override=1) / shares.to(given)

    return Rule((rows, cols), largest if kind == "max" else mean)


def _counted(window: Window, span: Span, size: int, with_pads: bool) -> list[int]:
    """Over how many positions each mean is taken."""
    least, most = (-window.before, size + window.after) if with_pads else (0, size)
    starts = [place * window.stride - window.before for place in range(span.start, span.stop)]
    return [min(start + window.extent, most) - max(start, least) for start in starts]


def padding(rows: tuple[int, int], cols: tuple[int, int], value: float = 0.0) -> Rule:
    """The rule of a border filled with one value, before and after."""
    windows = (Window(before=rows[0], after=rows[1]), Window(before=cols[0], after=cols[1]))
    return Rule(windows, lambda maps, part: _filled(maps[0], part.pads, value))


def _filled(maps: Tensor, pads: tuple[int, int, int, int], value: float) -> Tensor:
    above, below, left, right = pads
    return F.pad(maps, (left, right, above, below), value=value) if any(pads) else maps


def merging(function: Callable[[Sequence[Tensor]], Tensor]) -> Rule:
    """A layer of several maps of one size, position by position."""
    return Rule(BOTH_CELLWISE, lambda maps, _: function(maps), light=True)


def joining() -> Rule:
    """Several maps of one size, their channels side by side."""
    return Rule(BOTH_CELLWISE, lambda maps, _: torch.cat(list(maps), 1), joins=True, light=True)
