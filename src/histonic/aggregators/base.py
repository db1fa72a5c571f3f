"""A slide-level network: an aggregator of a map of codes into one vector, then one head a task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from histonic.aggregators.joined import joined
from histonic.aggregators.registry import AGGREGATORS, OwnLoss
from histonic.core.errors import SettingsError
from histonic.core.task import Task
from histonic.nn.heads import Heads

LEARNING_RATE = 1e-3
"""First learning rate of an aggregator that states none."""
NUMBERS_AT_ONCE = 1 << 17
"""Codes that are brought to their scale in one go."""
CLUES = "aggregator/"
"""Begins the names of an aggregator's clues among the outputs; no target's name holds a slash."""


class CodeScale(nn.Module):
    """Brings codes to mean 0 and standard deviation 1 per channel, and to 0 outside the mask.

    Args:
        code_size: D.
        parts: Of a patient; with several, masks hold the number of each cell's part, from 1, and each part
            has a scale of its own, so that mean and standard deviation are ``(parts, D)``.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, code_size: int, parts: int = 1) -> None:
        super().__init__()
        shape = (code_size,) if parts == 1 else (parts, code_size)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))

    @torch.no_grad()
    def set(self, mean: Tensor, std: Tensor) -> None:
        """Set mean and standard deviation over the tissue of the training maps; 0 counts as 1."""
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 0, std, torch.ones_like(std)))

    def forward(self, codes: Tensor, mask: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """``(B, D, R, K)`` and ``(B, R, K)`` to ``(B, D, R, K)``, computed in single precision or better.

        Args:
            codes: As stored.
            mask: 1 where a cell holds tissue, else 0.
            dtype: What the result is rounded to; by default it is not.
        """
        if self.mean.dim() == 2:
            codes = codes.to(torch.promote_types(codes.dtype, self.mean.dtype))
            scaled = torch.zeros_like(codes)
            for number, own in self._cells_of_parts(mask):
                mean, std = self.mean[number, :, None, None], self.std[number, :, None, None]
                scaled = torch.where(own, (codes - mean) / std, scaled)
            return scaled if dtype is None else scaled.to(dtype)
        mean, std = self.mean[:, None, None], self.std[:, None, None]
        if codes.requires_grad or codes.device.type != "cpu" or torch.compiler.is_compiling():
            plain = (codes - mean).div_(std).mul_(mask[:, None])
            return plain if dtype is None else plain.to(dtype)
        # Some rows at a time and in place, since memory is what this costs; and copied first, since a
        # difference of half and single precision takes several times as long as both steps.
        exact = torch.promote_types(codes.dtype, mean.dtype)
        scaled = torch.empty_like(codes, dtype=dtype or exact)
        rows = max(1, NUMBERS_AT_ONCE // max(1, codes.shape[1] * codes.shape[3]))
        for made, code, tissue in zip(scaled, codes, mask, strict=True):
            for part, given, cells in zip(
                made.split(rows, 1), code.split(rows, 1), tissue.split(rows), strict=True
            ):
                place = part if part.dtype == exact else torch.empty_like(part, dtype=exact)
                place.copy_(given).sub_(mean).div_(std).mul_(cells)
                if place is not part:
                    part.copy_(place)
        return scaled

    def undo(self, scaled: Tensor, mask: Tensor) -> Tensor:
        """The codes that were scaled."""
        if self.mean.dim() == 2:
            codes = torch.zeros_like(scaled)
            for number, own in self._cells_of_parts(mask):
                mean, std = self.mean[number, :, None, None], self.std[number, :, None, None]
                codes = torch.where(own, scaled * std + mean, codes)
            return codes
        return (scaled * self.std[:, None, None] + self.mean[:, None, None]) * mask[:, None]

    def _cells_of_parts(self, mask: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Places of parts in mean and std, and their cells ``(B, 1, R, K)``."""
        for number in range(len(self.mean)):
            yield number, (mask == number + 1)[:, None]


class SlideModel(nn.Module):
    """Code normalisation, an aggregator, and heads.

    Args:
        aggregator: An :class:`Aggregator`.
        code_size: D.
        tasks: The targets.
        parts: Of a patient, see :class:`CodeScale`.

    Example:
        >>> tasks = (Task("score", "regression", ("score",)),)
        >>> model = build_model("convnet", code_size=5, crop_cells=20, tasks=tasks)
        >>> model(torch.zeros(2, 5, 20, 20), torch.ones(2, 20, 20))["score"].shape
        torch.Size([2, 1])
    """

    def __init__(self, aggregator: nn.Module, code_size: int, tasks: Sequence[Task], parts: int = 1) -> None:
        super().__init__()
        self.scale = CodeScale(code_size, parts)
        self.aggregator = aggregator
        self.heads = Heads(tasks, int(aggregator.size))  # type: ignore[arg-type]

    def forward(self, codes: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Outputs per task name; in training also the clues of an aggregator that has a loss of its own.

        Args:
            codes: ``(B, D, R, K)`` as stored.
            mask: ``(B, R, K)`` 1 where a cell holds tissue, else 0; of several parts their numbers.

        Returns:
            ``(B, O)`` per task name; make them readable with ``model.heads.predict``.
        """
        if not (self.training and isinstance(self.aggregator, OwnLoss)):
            plain: dict[str, Tensor] = self.heads(self.vectors(codes, mask))
            return plain
        vectors, clues = self.aggregator.learning(self.scale(codes, mask, self._rounded(codes)), mask)
        outputs: dict[str, Tensor] = self.heads(vectors)
        return outputs | {CLUES + name: clue for name, clue in clues.items()}

    def vectors(self, codes: Tensor, mask: Tensor) -> Tensor:
        """Slide vectors ``(B, E)`` of maps as stored."""
        if self._wants_raw:
            raw: Tensor = self.aggregator(codes * (mask > 0)[:, None], mask)
            return raw
        return self.of_scaled(self.scale(codes, mask, self._rounded(codes)), mask)

    def of_scaled(self, scaled: Tensor, mask: Tensor) -> Tensor:
        """Slide vectors ``(B, E)`` of normalised codes, of which 0 is average tissue."""
        found: Tensor = self.aggregator(self.scale.undo(scaled, mask) if self._wants_raw else scaled, mask)
        return found

    def _rounded(self, codes: Tensor) -> torch.dtype | None:
        """What mixed precision rounds codes to, if the aggregator begins with rounding them anyway."""
        kind = codes.device.type
        mixed = torch.is_autocast_enabled(kind) and getattr(self.aggregator, "takes_rounded", False)
        return torch.get_autocast_dtype(kind) if mixed else None

    @property
    def _wants_raw(self) -> bool:
        return bool(getattr(self.aggregator, "raw_codes", False))

    def own_loss(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor | float:
        """The aggregator's own loss of outputs in training; 0 if it has none.

        Args:
            outputs: Of the whole batch, see :meth:`forward`.
            targets: Per task name, regression standardised, NaN where missing.
        """
        if not isinstance(self.aggregator, OwnLoss):
            return 0.0
        clues = {name.removeprefix(CLUES): each for name, each in outputs.items() if name.startswith(CLUES)}
        return self.aggregator.own_loss(clues, targets)

    @property
    def is_linear(self) -> bool:
        """Whether there is nothing to learn but the heads."""
        return not any(weight.requires_grad for weight in self.aggregator.parameters())

    @property
    def sees_places(self) -> bool:
        """Whether a turned map can have other outputs."""
        return bool(getattr(self.aggregator, "sees_places", True))


def build_model(
    aggregator: str,
    *,
    code_size: int,
    crop_cells: int,
    tasks: Sequence[Task],
    tile_heads: Heads | None = None,
    stream_cells: int | None = None,
    code_sizes: Sequence[int] = (),
) -> SlideModel:
    """An untrained slide model; its random weights come from torch's global generator.

    Args:
        aggregator: Name in ``AGGREGATORS``.
        code_size: D.
        crop_cells: Side of the crops in cells.
        tasks: The targets.
        tile_heads: What the encoder says of a tile; only an aggregator that wants them needs them.
        stream_cells: Maps with a longer side are streamed; None: as the aggregator does by itself.
        code_sizes: D of each part, of patients of several; their maps have channels for the largest.

    Raises:
        SettingsError: There is no such aggregator, it streams nothing, or it looks at tile heads, of which
            each part would have others.
        EncoderError: It needs tile heads, and there are none that fit.
    """
    kind: Any = AGGREGATORS.get(aggregator)
    given = {"tasks": tuple(tasks), "tile_heads": tile_heads}
    more = {name: given[name] for name in getattr(kind, "wants", ())}
    require_streaming(aggregator, stream_cells)
    require_parts(aggregator, len(code_sizes))
    networks = [kind(size, crop_cells, **more) for size in (code_sizes or (code_size,))]
    for network in networks:
        if stream_cells is not None:
            network.stream_cells = stream_cells
    if not code_sizes:
        return SlideModel(networks[0], code_size, tasks)
    return SlideModel(joined(networks, code_sizes), code_size, tasks, len(code_sizes))


def require_parts(aggregator: str, parts: int) -> None:
    """Refuse an aggregator that cannot look at patients of several parts.

    Raises:
        SettingsError: It looks at the encoder's heads, of which each part would have others.
    """
    if parts > 1 and wants_tile_heads(aggregator):
        raise SettingsError(
            f"Join {parts} parts of a patient by the aggregator {aggregator!r}.",
            "It looks at the heads of one encoder, and each part may have another.",
            "Use another --aggregator, such as mean or abmil.",
        )


def require_streaming(aggregator: str, stream_cells: int | None) -> None:
    """Refuse to stream maps through an aggregator that cannot.

    Raises:
        SettingsError: It has no layers that are streamed, or there is no such aggregator.
    """
    if stream_cells is not None and not getattr(AGGREGATORS.get(aggregator), "streams", False):
        raise SettingsError(
            f"Stream maps beyond {stream_cells} cells through the aggregator {aggregator!r}.",
            "It has no layers that are streamed.",
            "Leave out --stream-cells, or use --aggregator streaming or convnet.",
        )


def wants_tile_heads(aggregator: str) -> bool:
    """Whether an aggregator looks at the encoder's heads.

    Raises:
        SettingsError: There is no such aggregator.
    """
    return "tile_heads" in getattr(AGGREGATORS.get(aggregator), "wants", ())


def is_fitted(aggregator: str) -> bool:
    """Whether an aggregator has no weights, so that its heads are fitted by a convex problem.

    Raises:
        SettingsError: There is no such aggregator.

    Example:
        >>> is_fitted("mean"), is_fitted("convnet")
        (True, False)
    """
    return getattr(AGGREGATORS.get(aggregator), "learning_rate", LEARNING_RATE) == 0


def first_rate(aggregator: str, asked: float | None) -> float:
    """The learning rate that training begins with: what is asked for, or the aggregator's own default.

    Raises:
        SettingsError: There is no such aggregator.

    Example:
        >>> first_rate("convnet", None), first_rate("convnet", 0.5)
        (0.01, 0.5)
    """
    return asked or float(getattr(AGGREGATORS.get(aggregator), "learning_rate", LEARNING_RATE))
