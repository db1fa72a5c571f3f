"""The methods of explanation: one network, windows of a map, and a number per cell.

Values are signed: positive cells speak for the asked output, negative ones against it. Two are not:
Grad-CAM keeps what speaks for the output and shows 0 elsewhere, attention says how much a cell counts, not
what for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from histonic.aggregators.base import SlideModel
from histonic.aggregators.squares import squares_of
from histonic.core.errors import SettingsError
from histonic.stages.explain.attribution.output import ExplainedOutput

MOST_SQUARES = 4096
"""Squares of an occlusion where an aggregator computes them cheaply; larger maps get larger squares."""
PASS_CELLS = 1 << 21
"""Cells that go through a network for an occlusion where every square costs a whole map."""
BATCH_CELLS = 1 << 17
PATH_STEPS = 16
"""Steps of integrated gradients on a small map; the largest take one."""
PATH_CELLS = 600_000
"""Cells of tissue that go through a network along a path: three maps of 400 x 400, by :data:`GLASS_COST`."""
GLASS_COST = 0.25
"""What a cell costs for being in a window at all, in cells of tissue."""


@dataclass(frozen=True)
class Windows:
    """Windows of one map, as a network sees them after its code normalisation.

    Attributes:
        codes: ``(V, D, S, S)`` normalised codes: 0 is average tissue, and what stands on glass.
        mask: ``(V, S, S)`` 1 where a cell holds tissue, else 0; of several parts of a patient their numbers.
        most_tissue: Tissue cells of the fullest window of the whole map, by which all of them are explained
            equally finely; 0: these windows are all.
    """

    codes: Tensor
    mask: Tensor
    most_tissue: int = 0

    @property
    def tissue(self) -> Tensor:
        """``(V, S, S)`` 1 where a cell holds tissue of any part, else 0."""
        return (self.mask > 0).to(self.mask.dtype)


Method = Callable[[SlideModel, Windows, ExplainedOutput], Tensor]


def explained_value(model: SlideModel, codes: Tensor, mask: Tensor, output: ExplainedOutput) -> Tensor:
    """Normalised codes ``(V, D, S, S)`` and mask to the number ``(V,)`` that is explained."""
    head = model.heads[output.task.name]
    return output.evidence(head, head(model.of_scaled(codes, mask)))


def grad_cam(model: SlideModel, windows: Windows, output: ExplainedOutput) -> Tensor:
    """Grad-CAM (Selvaraju et al., ICCV 2017) on the layer with the most cells, as in Tellez et al. (2019).

    Each channel is weighed by the mean of its gradient over all positions; the weighted sum of the channels
    is cut off at 0. Where an aggregator has no convolutions, the codes themselves are the layer. Values are
    not divided by their maximum, so that slides and networks can be compared.

    Returns:
        ``(V, S, S)`` of 0 or more; one value for each position of the layer, spread over the cells that it
        sees.
    """

    def weighed(values: Tensor, gradient: Tensor) -> Tensor:
        return (values * gradient.mean(dim=(2, 3), keepdim=True)).sum(dim=1).relu()

    return _class_activation(model, windows, output, weighed)


def hires_cam(model: SlideModel, windows: Windows, output: ExplainedOutput) -> Tensor:
    """Gradient times activation in the layer with the most cells, summed over channels, with its sign.

    HiResCAM (Draelos and Carin 2020): Grad-CAM with the gradient of each place in place of its mean. Where an
    aggregator has no convolutions, the codes themselves are the layer: gradient times code.

    Returns:
        ``(V, S, S)``; one value for each position of the layer, spread over the cells that it sees.
    """
    return _class_activation(model, windows, output, lambda values, gradient: (values * gradient).sum(dim=1))


def _class_activation(
    model: SlideModel,
    windows: Windows,
    output: ExplainedOutput,
    join: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """What ``join`` makes of activations and their gradients ``(V, C, r, r)``, spread over the cells."""
    layers = getattr(model.aggregator, "cam_layers", ())
    codes = windows.codes.clone().requires_grad_()
    with _watching(layers) as seen:
        evidence = explained_value(model, codes, windows.mask, output).sum()
    kept = seen or [codes]
    gradients = torch.autograd.grad(evidence, kept)
    total = torch.zeros_like(windows.mask)
    for values, gradient, layer in zip(kept, gradients, layers or (None,), strict=True):
        total = total + _to_cells(join(values, gradient).detach(), windows.mask.shape[-1], layer)
    return total * windows.tissue


@contextmanager
def _watching(layers: tuple[nn.Module, ...]) -> Iterator[list[Tensor]]:
    """Collect what layers give while the block runs."""
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        seen.append(output)

    handles = [layer.register_forward_hook(keep) for layer in layers]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _to_cells(values: Tensor, side: int, layer: nn.Module | None) -> Tensor:
    """Maps ``(V, r, r)`` of a layer to ``(V, side, side)`` cells, by straight lines between positions.

    A position lies on the middle cell of those that its convolution sees; beyond the outermost ones their
    values go on.
    """
    positions = values.shape[-1]
    seen = next((each for each in layer.modules() if isinstance(each, nn.Conv2d)), None) if layer else None
    if seen is None or positions == side:
        return values
    first = (seen.kernel_size[0] - 1) / 2 - int(seen.padding[0])
    places = ((torch.arange(side, device=values.device) - first) / seen.stride[0]).clamp(0, positions - 1)
    # A hat of width 1 around every position.
    share = (1 - (places[:, None] - torch.arange(positions, device=values.device)).abs()).clamp_min(0)
    spread: Tensor = share.to(values.dtype) @ values @ share.T.to(values.dtype)
    return spread


def attention(model: SlideModel, windows: Windows, output: ExplainedOutput) -> Tensor:
    """The aggregator's own weights, times the number of tissue cells: 1 is an average cell.

    Raises:
        SettingsError: The aggregator has no attention.
    """
    weigh = getattr(model.aggregator, "attention", None)
    if not callable(weigh):
        raise SettingsError(
            f"Explain {output.task.name!r} by attention.",
            f"The aggregator {type(model.aggregator).__name__} has no attention weights.",
            "Use --method occlusion, hires-cam or integrated-gradients, or train with abmil, clam, dsmil or "
            "transmil.",
        )
    with torch.no_grad():
        weights: Tensor = weigh(windows.codes, windows.mask)
    return weights * windows.tissue.sum(dim=(1, 2), keepdim=True)


def occlusion(model: SlideModel, windows: Windows, output: ExplainedOutput) -> Tensor:
    """What the evidence loses when a square of cells becomes average tissue (Zeiler and Fergus, ECCV 2014).

    Squares are single cells as far as the map is small enough, see :data:`MOST_SQUARES`. A square's loss is
    shared out equally among its tissue cells.
    """
    return torch.stack(
        [
            _occlude(model, codes, mask, output)
            for codes, mask in zip(windows.codes, windows.mask, strict=True)
        ]
    )


@torch.no_grad()
def _occlude(model: SlideModel, codes: Tensor, mask: Tensor, output: ExplainedOutput) -> Tensor:
    """``(S, S)`` of one window."""
    head = model.heads[output.task.name]
    cheap = getattr(model.aggregator, "occluded", None)
    most = MOST_SQUARES if cheap else max(PASS_CELLS // mask.numel(), 1)
    side = 1
    while len(squares := squares_of(mask, side)) > most:
        side += 1
    if not len(squares):
        return torch.zeros_like(mask)
    vectors = cheap(codes, mask, squares, side) if cheap else _one_by_one(model, codes, mask, squares, side)
    whole = explained_value(model, codes[None], mask[None], output)
    losses = whole - output.evidence(head, head(vectors))
    spread = torch.zeros(-(-mask.shape[0] // side), -(-mask.shape[1] // side))
    tissue = (mask > 0).to(mask.dtype)
    counts = (
        F.avg_pool2d(F.pad(tissue, (0, -mask.shape[1] % side, 0, -mask.shape[0] % side))[None], side)[0]
        * side**2
    )
    spread[squares[:, 0], squares[:, 1]] = losses.float()
    shares = (spread / counts.clamp_min(1)).repeat_interleave(side, 0).repeat_interleave(side, 1)
    return shares[: mask.shape[0], : mask.shape[1]] * tissue


def _one_by_one(model: SlideModel, codes: Tensor, mask: Tensor, squares: Tensor, side: int) -> Tensor:
    """Slide vectors ``(W, E)`` where every square costs a whole map."""
    at_once = max(1, BATCH_CELLS // mask.numel())
    parts = []
    for start in range(0, len(squares), at_once):
        few = squares[start : start + at_once] * side
        changed = codes[None].repeat(len(few), 1, 1, 1)
        for place, (row, col) in enumerate(few.tolist()):
            changed[place, :, row : row + side, col : col + side] = 0
        parts.append(model.of_scaled(changed, mask[None].expand(len(few), -1, -1)))
    return torch.cat(parts)


def integrated_gradients(model: SlideModel, windows: Windows, output: ExplainedOutput) -> Tensor:
    """Gradients along the straight path from average tissue to the map, times the way of each cell.

    Sundararajan, Taly and Yan (ICML 2017). The baseline keeps the mask and has the mean code everywhere, so
    that the values of all cells sum to what the map says beyond average tissue.
    """
    steps = path_steps(windows, getattr(model.aggregator, "path_cost", 1))
    total = torch.zeros_like(windows.codes)
    for place, weight in path_nodes(steps, getattr(model.aggregator, "path_power", 1)):
        codes = (windows.codes * place).requires_grad_()
        evidence = explained_value(model, codes, windows.mask, output).sum()
        total.add_(torch.autograd.grad(evidence, codes)[0], alpha=weight)
    return (total * windows.codes).sum(dim=1) * windows.tissue


def path_steps(windows: Windows, cost: float) -> int:
    """Steps along a path, so that a map takes seconds.

    Args:
        windows: Windows of one map.
        cost: How many times more work a cell of tissue is than in most aggregators.

    Example:
        >>> path_steps(Windows(torch.zeros(1, 1, 400, 400), torch.ones(1, 400, 400)), cost=1)
        3
    """
    tissue = windows.most_tissue or int(windows.tissue.sum(dim=(1, 2)).max())
    work = cost * tissue + GLASS_COST * windows.mask[0].numel()
    return min(max(int(PATH_CELLS / work), 1), PATH_STEPS)


@cache
def path_nodes(steps: int, power: int = 1) -> tuple[tuple[float, float], ...]:
    """Places on the path from 0 to 1 and their weights, by which the integral of a smooth function is a sum.

    Gauss-Legendre, since a few of its steps do as well as many equal ones. A path that is steep near its
    beginning is walked as ``t ** power``: the same integral, with more of its places there.

    Args:
        steps: 1 or more.
        power: 1 or 2; a higher one would take two steps to be right even for a straight line.

    Example:
        >>> [(round(place, 3), round(weight, 3)) for place, weight in path_nodes(2)]
        [(0.211, 0.5), (0.789, 0.5)]
        >>> path_nodes(1, power=2)
        ((0.25, 1.0),)
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    times = (nodes + 1) / 2
    slopes = power * times ** (power - 1)
    return tuple(zip((times**power).tolist(), (weights / 2 * slopes).tolist(), strict=True))


METHODS: dict[str, Method] = {
    "integrated-gradients": integrated_gradients,
    "grad-cam": grad_cam,
    "hires-cam": hires_cam,
    "occlusion": occlusion,
    "attention": attention,
}
