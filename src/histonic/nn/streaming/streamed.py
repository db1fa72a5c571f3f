"""Running a network over an image in bands of rows, forward and backward, as if it were computed at once.

After Pinckaers, van Ginneken and Litjens, "Streaming convolutional neural networks for end-to-end learning
with multi-megapixel images" (TPAMI 2020): the map at the boundary between local and global layers is kept,
the local layers are computed again, piece by piece, for the gradient. Here pieces are bands: each layer hands
the rows that the next band looks at again on to it, forward, and their gradients back, so that no row is
computed twice within a pass. What is handed on is kept for the backward pass. Of a band only the maps of its
costly layers are kept for its gradient; light ones (norms, activations, sums) are computed again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import reduce
from typing import Any, cast

import torch
from torch import Tensor, nn

from histonic.core.errors import NetworkError
from histonic.core.processes.memory import free_bytes, release_memory
from histonic.nn.streaming.graph import Graph
from histonic.nn.streaming.plan import Band, Cut, Strip, cut
from histonic.nn.streaming.sizing import choose_tile, tile_of_px
from histonic.nn.streaming.steps import steps_of
from histonic.nn.streaming.walk import Handed, input_places, walk_band

Gradients = Sequence[Tensor | None]
BAND_BYTES = 1 << 30
"""For what is kept for gradients, where that much is free."""
FREE_SHARE = 0.25
"""Of the free memory at most."""


def stream(
    module: nn.Module,
    *maps: Tensor,
    tile_px: int | tuple[int, int] | None = None,
    memory_bytes: int | None = None,
) -> Tensor:
    """The result of a module of local layers, in the memory of a band of it.

    Values and gradients, of the weights and of the maps, are those of ``module(*maps)`` up to rounding.
    Layers may form any graph (sequential, residual, dense) of convolutions, pooling, activations, batch
    normalisation with fixed statistics, sums and joined channels; all else is refused by the name of the
    layer. Maps may lie on another device than the weights and may be whole numbers or of lower precision
    (an image of bytes takes a quarter of the memory): bands are brought over as they are computed.

    Args:
        module: Takes the maps and gives one map.
        maps: ``(B, C, R, K)``; several where the module takes several. Bytes mean 0 to 255.
        tile_px: Rows and columns of the first map that are computed at a time, rounded to the network's whole
            stride; by default bands over the full width that fit into the memory.
        memory_bytes: For what is kept for gradients, beside the maps and the result, as it is reckoned
            beforehand; by default 1 GiB, or a quarter of what is free if that is less. Ignored where
            ``tile_px`` is given.

    Returns:
        ``(B, D, r, k)``.

    Raises:
        NetworkError: A layer cannot be streamed; it is named.

    Example:
        >>> layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)).double()
        >>> image = torch.rand(1, 3, 101, 64, dtype=torch.float64)
        >>> bool((stream(layers, image, tile_px=16) - layers(image)).abs().max() < 1e-12)
        True
    """
    graph = Graph.of(module, len(maps))
    shapes = [(int(each.shape[2]), int(each.shape[3])) for each in maps if _is_batch(each, module)]
    device, kind = _place_of(module, maps)
    sizes = graph.sizes(shapes)
    if tile_px is not None:
        tile = tile_of_px(tile_px, sizes[0], sizes[-1])
    else:
        channels = [int(each.shape[1]) for each in maps]
        width = max(kind.itemsize, *(each.element_size() for each in (*maps, *module.parameters())))
        most = band_bytes() if memory_bytes is None else memory_bytes
        tile = choose_tile(graph, sizes, channels, int(maps[0].shape[0]) * width, most)
    plan = cut(graph, sizes, tile)
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    job = _Job(graph, plan, device, kind)
    found: Tensor = _Streamed.apply(job, len(maps), *maps, *weights)  # type: ignore[no-untyped-call]
    return found


def band_bytes() -> int:
    """Bytes that may be kept for gradients on this machine."""
    free = free_bytes()
    return BAND_BYTES if free is None else max(1, min(BAND_BYTES, int(FREE_SHARE * free)))


class Streamed(nn.Module):
    """A module of local layers that is streamed, see :func:`stream`.

    Args:
        layers: The module; its weights are under ``layers``.
        tile_px: See :func:`stream`.
        memory_bytes: See :func:`stream`.

    Example:
        >>> local = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU())
        >>> network = nn.Sequential(Streamed(local, tile_px=64), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> network(torch.zeros(2, 3, 300, 200)).shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        layers: nn.Module,
        tile_px: int | tuple[int, int] | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        super().__init__()
        self.layers = layers
        self.tile_px = tile_px
        self.memory_bytes = memory_bytes

    def forward(self, *maps: Tensor) -> Tensor:
        """Maps ``(B, C, R, K)`` to the map at the boundary ``(B, D, r, k)``."""
        return stream(self.layers, *maps, tile_px=self.tile_px, memory_bytes=self.memory_bytes)


def _is_batch(maps: Tensor, module: nn.Module) -> bool:
    if maps.ndim == 4 and math.prod(maps.shape) > 0:
        return True
    raise NetworkError(
        f"Stream {type(module).__name__}.",
        f"A map has the shape {tuple(maps.shape)}.",
        "Give maps (B, C, R, K) that are not empty.",
    )


def _place_of(module: nn.Module, maps: Sequence[Tensor]) -> tuple[torch.device, torch.dtype]:
    """Where and in which precision it is computed: as the weights are; without any as the maps."""
    for weight in (*module.parameters(), *module.buffers()):
        if weight.is_floating_point():
            return weight.device, weight.dtype
    kinds = [each.dtype for each in maps if each.is_floating_point()] or [torch.get_default_dtype()]
    return maps[0].device, reduce(torch.promote_types, kinds)


class _Job:
    """What is computed, how it is cut, and where; with what was handed from band to band."""

    def __init__(self, graph: Graph, plan: Cut, device: torch.device, kind: torch.dtype) -> None:
        self.graph = graph
        self.steps = steps_of(graph)
        self.plan = plan
        self.device = device
        self.kind = kind
        self.handed: list[list[Handed]] = []
        self._autocast = (
            torch.is_autocast_enabled(device.type),
            torch.get_autocast_dtype(device.type),
        )

    def mixed(self) -> AbstractContextManager[Any]:
        """Mixed precision as it was when the job was made; what is cast is not kept from band to band."""
        enabled, kind = self._autocast
        return torch.autocast(self.device.type, kind, enabled=enabled, cache_enabled=False)

    def brought(self, piece: Tensor) -> Tensor:
        """A band of a map where it is computed, in the precision of the weights if its own is lower."""
        is_whole = not piece.is_floating_point()
        is_lower = piece.dtype.itemsize < self.kind.itemsize
        # Mixed precision casts what is not whole numbers itself.
        cast_here = is_whole or (is_lower and not self._autocast[0])
        return piece.to(self.device, self.kind if cast_here else piece.dtype)

    def forward(self, maps: Sequence[Tensor], keeps: bool) -> Tensor:
        """The whole result; of what is handed on a copy is kept where a gradient will be asked for."""
        whole: Tensor | None = None
        graph, plan = self.graph, self.plan
        for strip in plan.strips:
            kept: Handed = {}
            began: list[Handed] = []
            for band in plan.bands:
                pieces = [place.of(maps[place.number]) for place in input_places(graph, band, strip)]
                if keeps:
                    began.append(kept)
                with self.mixed():
                    part, kept = walk_band(
                        graph, self.steps, plan, band, strip, [self.brought(each) for each in pieces], kept
                    )
                self._tidy()
                if part is None:
                    continue
                if whole is None:
                    whole = part.new_empty((part.shape[0], part.shape[1], *plan.sizes[-1]))
                _part_of(whole, band.new[-1], strip.columns[-1]).copy_(part)
            self.handed.append(began)
        if whole is None:
            raise AttributeError("nothing was computed")
        return whole

    def backward(
        self, maps: Sequence[Tensor], wanted: Sequence[bool], weights: Sequence[Tensor], gradient: Tensor
    ) -> tuple[list[Tensor | None], list[Tensor | None]]:
        """Gradients of the maps and of the weights."""
        of_maps = [
            torch.zeros_like(each) if wants else None for each, wants in zip(maps, wanted, strict=True)
        ]
        of_weights: list[Tensor | None] = [None] * len(weights)
        for strip, began in zip(self.plan.strips, self.handed, strict=True):
            later: Handed = {}
            for band in reversed(self.plan.bands):
                places = input_places(self.graph, band, strip)
                pieces = [
                    self.brought(place.of(each).detach()).requires_grad_(wants)
                    for place, each, wants in zip(places, maps, wanted, strict=True)
                ]
                given = _part_of(gradient, band.new[-1], strip.columns[-1])
                found = self._band_gradients(band, strip, pieces, began.pop(), weights, given, later)
                for number, each in enumerate(found[0]):
                    own = of_weights[number]
                    if each is not None:
                        # The first is copied: two weights may have been given one and the same tensor.
                        of_weights[number] = each.clone() if own is None else own.add_(each)
                later = found[1]
                for place, whole, each in zip(places, of_maps, found[2], strict=True):
                    if whole is not None and each is not None:
                        place.of(whole).add_(each.to(whole.device))
                del found, pieces
                self._tidy()
        return of_maps, of_weights

    def _tidy(self) -> None:
        """Hand back the memory between what is kept from band to band: large maps do not fit into it."""
        if self.device.type == "cpu" and len(self.plan.bands) > 1:
            release_memory()

    def _band_gradients(
        self,
        band: Band,
        strip: Strip,
        pieces: Sequence[Tensor],
        began: Handed,
        weights: Sequence[Tensor],
        given: Tensor,
        later: Handed,
    ) -> tuple[Gradients, Handed, Gradients]:
        """Gradients of the weights, of what was handed to a band, and of its pieces of the maps.

        Args:
            band: Computed again.
            strip: Its columns.
            pieces: Of the maps.
            began: What was handed to it.
            weights: Those that are learned.
            given: Gradient of its part of the result.
            later: Gradients of what it hands on.
        """
        kept = {number: rows.detach().requires_grad_() for number, rows in began.items()}
        with torch.enable_grad(), self.mixed():
            part, handed = walk_band(self.graph, self.steps, self.plan, band, strip, pieces, kept)
        ends = [(rows, later[number]) for number, rows in handed.items() if number in later]
        if part is not None:
            ends.append((part, given))
        ends = [pair for pair in ends if pair[0].requires_grad]
        if not ends:
            return [None] * len(weights), {}, [None] * len(pieces)
        asked = [*weights, *kept.values(), *(piece for piece in pieces if piece.requires_grad)]
        found = torch.autograd.grad(
            [rows for rows, _ in ends], asked, [each for _, each in ends], allow_unused=True
        )
        middle = found[len(weights) : len(weights) + len(kept)]
        rest = iter(found[len(weights) + len(kept) :])
        return (
            found[: len(weights)],
            # Copied, since a view would keep the gradient of the whole band.
            {number: each.clone() for number, each in zip(kept, middle, strict=True) if each is not None},
            [next(rest) if piece.requires_grad else None for piece in pieces],
        )


def _part_of(whole: Tensor, rows: Any, cols: Any) -> Tensor:
    return whole[:, :, rows.start : rows.stop, cols.start : cols.stop]


class _Streamed(torch.autograd.Function):
    """The whole of it as one step of a graph of gradients."""

    @staticmethod
    def forward(ctx: Any, job: _Job, inputs: int, *tensors: Tensor) -> Tensor:
        ctx.job, ctx.inputs = job, inputs
        ctx.save_for_backward(*tensors)
        return job.forward(tensors[:inputs], keeps=any(ctx.needs_input_grad))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        tensors = cast("tuple[Tensor, ...]", ctx.saved_tensors)
        maps, weights = tensors[: ctx.inputs], tensors[ctx.inputs :]
        if ctx.job is None:
            raise RuntimeError("the gradient of a streamed module can be asked for once")
        job, ctx.job = ctx.job, None
        wanted = ctx.needs_input_grad[2 : 2 + ctx.inputs]
        of_maps, of_weights = job.backward(maps, wanted, weights, gradient)
        return None, None, *of_maps, *of_weights
