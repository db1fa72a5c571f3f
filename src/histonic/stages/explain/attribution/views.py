"""From networks and a whole map to a number per cell: windows and orientations as in prediction."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from histonic.aggregators.base import SlideModel
from histonic.core.compressed import ORIENTATIONS, turn_back
from histonic.core.tissue_box import TissueBox
from histonic.core.units import RC
from histonic.data.maps.memory import Maps
from histonic.data.maps.views import View, cut, spread_corners
from histonic.models.bundle import Bundle
from histonic.models.members import Member
from histonic.models.predicting import SMALL_CROP, seen_turns
from histonic.slides.outlines import BoolGrid
from histonic.stages.explain.attribution.methods import Method, Windows, attention
from histonic.stages.explain.attribution.output import ExplainedOutput

FloatGrid = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ExplainedNetwork:
    """One network of a bundle with all that is needed to ask it.

    Attributes:
        model: Ready to predict.
        member: What it knows of its training patients.
        crop_cells: Side of its windows.
        test_crops: Windows per map in a prediction.
    """

    model: SlideModel
    member: Member
    crop_cells: int
    test_crops: int

    @property
    def orientations(self) -> int:
        """Orientations in which a map is explained: all that fit into seconds."""
        return ORIENTATIONS if self.crop_cells <= SMALL_CROP else 1


def networks_of(bundle: Bundle) -> list[ExplainedNetwork]:
    """All networks of a bundle, their weights frozen: only the gradients of maps are asked for."""
    return [
        ExplainedNetwork(model.requires_grad_(False), member, member.crop_cells, bundle.test_crops)
        for model, member in zip(bundle.models, bundle.members, strict=True)
    ]


def explain_map(
    networks: Sequence[ExplainedNetwork],
    maps: Maps,
    slide_id: str,
    output: ExplainedOutput,
    method: Method,
    *,
    upright: bool = False,
) -> FloatGrid:
    """Values ``(R, K)`` of one map, NaN outside the tissue.

    A network looks through the windows of its prediction, in all orientations where maps are small and a
    turned one can differ, and through more where these leave out tissue; each cell gets the mean over the
    windows that show it. The networks are then joined as their predictions are.

    Args:
        networks: One or more.
        maps: That hold the slide.
        slide_id: The slide.
        output: The output.
        method: One of :data:`histonic.stages.explain.attribution.methods.METHODS`.
        upright: Look at the map in one orientation only.
    """
    mask = maps.mask(slide_id)
    total = np.zeros(mask.shape)
    for network in networks:
        # Attention has no part in the sign and the size of an output.
        head = network.model.heads[output.task.name]
        weight = 1.0 if method is attention else output.weight(head, network.member)
        total += weight * _explain_by(network, maps, slide_id, output, method, upright)
    return np.where(mask, total / len(networks), np.nan)


def _explain_by(
    network: ExplainedNetwork,
    maps: Maps,
    slide_id: str,
    output: ExplainedOutput,
    method: Method,
    upright: bool,
) -> FloatGrid:
    mask = maps.mask(slide_id)
    side = network.crop_cells
    orientations = 1 if upright else seen_turns(network.model, maps, slide_id, network.orientations)
    total, count = np.zeros(mask.shape), np.zeros(mask.shape)
    for views, windows in windows_of(network, maps, slide_id, orientations, cover=True):
        values = method(network.model, windows, output).detach().cpu().numpy()
        for view, found in zip(views, values, strict=True):
            _add(total, turn_back(found, view.orientation), view.corner)
            _add(count, np.ones((side, side)), view.corner)
    return total / np.maximum(count, 1)


def windows_of(
    network: ExplainedNetwork, maps: Maps, slide_id: str, orientations: int = 1, *, cover: bool = False
) -> Iterator[tuple[list[View], Windows]]:
    """What a network sees of a map: for each window its orientations, codes normalised.

    Args:
        network: The network.
        maps: That hold the slide.
        slide_id: The slide.
        orientations: 1 to 8.
        cover: Add windows until all tissue has been seen.
    """
    side, tissue = network.crop_cells, maps.mask(slide_id)
    corners = spread_corners(tissue, side, network.test_crops)
    if cover:
        corners += missing_corners(tissue, side, corners)
    most_tissue = max(int(cut(tissue, corner, side).sum()) for corner in corners)
    for corner in corners:
        views = [View(slide_id, corner, turn) for turn in range(orientations)]
        codes, mask = (torch.from_numpy(part) for part in maps.crops(views, side))
        yield views, Windows(network.model.scale(codes.float(), mask), mask, most_tissue)


def missing_corners(mask: BoolGrid, side: int, corners: Sequence[RC]) -> list[RC]:
    """Windows around tissue that the given ones leave out, the topmost first.

    Example:
        >>> missing_corners(np.ones((4, 10), bool), 4, [RC(0, 0)])
        [RC(row=0, col=4), RC(row=0, col=6)]
    """
    left, box = mask.copy(), TissueBox.of(mask)
    added: list[RC] = []
    for corner in corners:
        _clear(left, corner, side)
    while left.any():
        # The first tissue left becomes the window's corner, or the window ends with the box.
        row, col = (int(index) for index in np.argwhere(left)[0])
        corner = box.window_around(RC(row + side // 2, col + side // 2), side)
        _clear(left, corner, side)
        added.append(corner)
    return added


def _clear(mask: BoolGrid, corner: RC, side: int) -> None:
    mask[max(corner.row, 0) : corner.row + side, max(corner.col, 0) : corner.col + side] = False


def _add(total: FloatGrid, window: npt.NDArray[np.floating], corner: RC) -> None:
    """Add a window to the map, without what reaches over the border."""
    rows, cols = total.shape
    top, left = max(corner.row, 0), max(corner.col, 0)
    bottom, right = min(corner.row + window.shape[0], rows), min(corner.col + window.shape[1], cols)
    total[top:bottom, left:right] += window[
        top - corner.row : bottom - corner.row, left - corner.col : right - corner.col
    ]


def predict_with(
    networks: Sequence[ExplainedNetwork],
    maps: Maps,
    slide_id: str,
    output: ExplainedOutput,
    kept: Sequence[BoolGrid],
) -> FloatGrid:
    """Joined predictions of a map of which only some cells keep their codes; the others are average tissue.

    Args:
        networks: One or more.
        maps: That hold the slide.
        slide_id: The slide.
        output: The output.
        kept: Per prediction ``(R, K)``, True where the code is kept.

    Returns:
        One prediction each, see
        :meth:`histonic.stages.explain.attribution.output.ExplainedOutput.prediction`; upright only.
    """
    joined = np.zeros(len(kept))
    for network in networks:
        total, windows_seen = np.zeros(len(kept)), 0
        for views, windows in windows_of(network, maps, slide_id):
            parts = [torch.from_numpy(cut(each, views[0].corner, network.crop_cells)) for each in kept]
            total += _predict_kept(network, windows, parts, output)
            windows_seen += 1
        joined += total / windows_seen
    return joined / len(networks)


@torch.no_grad()
def _predict_kept(
    network: ExplainedNetwork, windows: Windows, kept: Sequence[Tensor], output: ExplainedOutput
) -> FloatGrid:
    model, side = network.model, network.crop_cells
    head = model.heads[output.task.name]
    at_once = max(1, (1 << 17) // side**2)
    found = []
    for start in range(0, len(kept), at_once):
        keep = torch.stack(list(kept[start : start + at_once]))
        codes = windows.codes * keep[:, None]
        outputs = head(model.of_scaled(codes, windows.mask.expand(len(keep), -1, -1)))
        found.append(output.prediction(head, network.member, outputs).double().cpu().numpy())
    return np.concatenate(found)


def randomised(network: ExplainedNetwork, seed: int) -> ExplainedNetwork:
    """The same network after its learning is undone: every matrix of weights is drawn anew around 0.

    A matrix keeps its spread, and each vector (biases, gains) its numbers in another order, so that only what
    was learned is lost: the randomisation of Adebayo et al. (NeurIPS 2018) for any aggregator.
    """
    chance = torch.Generator().manual_seed(seed)
    model = copy.deepcopy(network.model)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                spread = weight.square().mean().sqrt()
                weight.copy_(torch.randn(weight.shape, generator=chance) * spread)
            else:
                weight.copy_(weight[torch.randperm(weight.numel(), generator=chance)])
    return replace(network, model=model.eval())
