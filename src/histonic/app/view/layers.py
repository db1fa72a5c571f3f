"""What can be laid over a slide: a number per cell with its place, colours and words."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from histonic.core.errors import HistonicError
from histonic.core.grid import TileGrid
from histonic.data.maps.quality import MOST_FOLDS, MOST_PEN, CellQuality
from histonic.data.maps.remote.opening import fetch_maps
from histonic.data.maps.store import Store, encoder_path, map_folder, read_map, read_mask
from histonic.stages.explain.record import UNSIGNED, Explanation
from histonic.stages.explain.values import choose_cells

if TYPE_CHECKING:
    from histonic.nn.heads import Heads

Kind = Literal["signed", "unsigned", "classes", "mask"]
"""How a layer is coloured; a mask is an even tint, without a threshold or cells that stand out."""
MOST_CELLS = 12
"""Cells of highest, and of lowest, value that can be jumped to."""
CELLS_AT_ONCE = 65_536


@dataclass(frozen=True)
class Values:
    """The numbers of a layer.

    Attributes:
        values: ``(R, K)`` float32, NaN where nothing is shown; of classes their numbers.
        strength: ``(R, K)`` 0 to 1 by which cells can be hidden; None: the size of the value over the scale.
    """

    values: npt.NDArray[np.float32]
    strength: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Layer:
    """One thing to lay over a slide.

    Attributes:
        group: Whose it is, such as the run.
        name: What it is.
        kind: How it is coloured.
        grid: Where its cells lie.
        read: Reads the numbers when they are asked for.
        scale: Where colours end.
        meaning: Of the numbers.
        notes: Sentences to read before the colours are believed.
        classes: Names, of classes.
        ends: What the lowest and the highest value say.
    """

    group: str
    name: str
    kind: Kind
    grid: TileGrid
    read: Callable[[], Values]
    scale: float = 1.0
    meaning: str = ""
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    ends: tuple[str, str] = ("0", "")
    warning: str = ""
    match: str = field(default="")
    """Layers of two slides with the same value are the same question."""

    def facts(self) -> dict[str, Any]:
        """What the page shows before the numbers are there."""
        origin = self.grid.square_origin_xy
        return {
            "group": self.group,
            "name": self.name,
            "kind": self.kind,
            "scale": self.scale,
            "meaning": self.meaning,
            "notes": list(self.notes),
            "warning": self.warning,
            "classes": list(self.classes),
            "ends": list(self.ends),
            "match": self.match,
            "rows": self.grid.shape.rows,
            "cols": self.grid.shape.cols,
            "x": float(origin.x),
            "y": float(origin.y),
            "step": float(self.grid.stride_level0),
        }

    def numbers(self) -> dict[str, Any]:
        """The numbers as the page takes them, and the cells that stand out.

        Raises:
            HistonicError: They cannot be read.
        """
        found = self.read()
        most: Sequence[tuple[int, int]] = ()
        least: Sequence[tuple[int, int]] = ()
        if self.kind not in ("classes", "mask"):
            most, least = choose_cells(found.values, MOST_CELLS, signed=self.kind == "signed")
        return {
            "values": _packed(found.values),
            "strength": None if found.strength is None else _packed(found.strength),
            "most": [self._cell(found, cell) for cell in most],
            "least": [self._cell(found, cell) for cell in least],
        }

    def _cell(self, found: Values, cell: tuple[int, int]) -> list[float]:
        return [cell[0], cell[1], float(found.values[cell])]

    def tile_box(self, row: int, col: int) -> tuple[tuple[float, float], int, float] | None:
        """Corner (level-0 pixels), side (pixels) and mpp of a cell's tile; None outside of the grid."""
        if not (0 <= row < self.grid.shape.rows and 0 <= col < self.grid.shape.cols):
            return None
        xy = self.grid.cell_xy((row, col))
        return (xy.x, xy.y), self.grid.tile_px, self.grid.mpp


def explanation_layer(
    record: Explanation,
    group: str,
    read: Callable[[], Values],
    grid: TileGrid,
    scale: float,
    notes: tuple[str, ...],
    warning: str,
) -> Layer:
    """What speaks for a prediction."""
    target = record.target.replace("_", " ")
    if record.method == "attention":
        name, ends = f"{target}: attention", ("little", "much")
    else:
        name, ends = f"{target}: what speaks for “{record.output}”", ("against", "for")
    if record.method in UNSIGNED:
        ends = ("nothing", ends[1])
    return Layer(
        group,
        f"{name} ({record.method})",
        "unsigned" if record.method in UNSIGNED else "signed",
        grid,
        read,
        scale,
        record.meaning,
        notes,
        ends=ends,
        warning=warning,
        match=f"{record.target}/{record.method}/{record.inputs.output}",
    )


def store_layers(store: Store, slide_id: str, grid: TileGrid, quality: CellQuality | None) -> list[Layer]:
    """Tissue, quality and tile classes of one map.

    Args:
        store: Where the map lies.
        slide_id: Its name.
        grid: Of the map.
        quality: What spoils its cells; None if not known.
    """
    folder = map_folder(store.path, slide_id)
    group = "map"

    def mask() -> Values:
        fetch_maps(store, [slide_id])
        return Values(np.where(read_mask(folder), 1.0, np.nan).astype(np.float32))

    layers = [
        Layer(
            group, "tissue that was used", "mask", grid, mask, 1.0, "1: the cell holds a code",
            ends=("", "used"), match="tissue",
        )
    ]  # fmt: skip
    if quality is not None:
        known = ~np.isnan(quality.pen)
        spoilt = {flaw: quality.is_spoilt(flaw) for flaw in ("pen", "folds", "blur")}

        def flaws() -> Values:
            kind = np.full(known.shape, np.nan, np.float32)
            kind[known] = 0
            for number, flaw in enumerate(spoilt, start=1):
                kind[known & spoilt[flaw]] = number
            return Values(kind, np.where(kind > 0, 1.0, 0.0).astype(np.float32))

        layers.append(
            Layer(
                group, "quality: what spoils cells", "classes", grid, flaws,
                meaning="of several flaws the last is shown",
                classes=("good", "pen", "folds", "out of focus"),
                match="quality",
            )
        )  # fmt: skip
        for name, values, most in (("pen", quality.pen, MOST_PEN), ("folds", quality.folds, MOST_FOLDS)):
            layers.append(
                Layer(
                    group, f"quality: share of {name}", "unsigned", grid, _given(values), 1.0,
                    f"share of the cell; spoilt above {most:g}", ends=("0", "all"), match=f"quality-{name}",
                )
            )  # fmt: skip
        focus = quality.focus
        if np.isfinite(focus).any():
            away = focus - np.nanmedian(focus)
            layers.append(
                Layer(
                    group, "quality: focus", "signed", grid, _given(away.astype(np.float32)),
                    float(np.nanpercentile(np.abs(away), 99)) or 1.0,
                    "log2 of fine over coarser detail, from the slide's median",
                    ends=("blurred", "sharp"), match="quality-focus",
                )
            )  # fmt: skip
    return [*layers, *_class_layers(store, slide_id, grid)]


def _given(values: npt.NDArray[np.float32]) -> Callable[[], Values]:
    return lambda: Values(values)


def _class_layers(store: Store, slide_id: str, grid: TileGrid) -> list[Layer]:
    """What the heads beside a store's encoder call each cell; none without heads."""
    heads = _heads(encoder_path(store.path))
    if heads is None or heads.size != store.encoder.spec.code_size:
        return []
    layers = []
    for task in heads.tasks:
        if not task.is_classification:
            continue

        def called(name: str = task.name) -> Values:
            import torch

            fetch_maps(store, [slide_id])
            slide = read_map(map_folder(store.path, slide_id))
            codes = np.asarray(slide.features[:, slide.mask], np.float32).T
            shares = []
            with torch.inference_mode():
                for start in range(0, len(codes), CELLS_AT_ONCE):
                    part = torch.from_numpy(np.ascontiguousarray(codes[start : start + CELLS_AT_ONCE]))
                    shares.append(heads[name].predict(heads[name](part)).numpy())
            every = np.concatenate(shares)
            kind = np.full(slide.mask.shape, np.nan, np.float32)
            strength = kind.copy()
            kind[slide.mask] = every.argmax(axis=1)
            strength[slide.mask] = every.max(axis=1)
            return Values(kind, strength)

        layers.append(
            Layer(
                "encoder", f"tile class: {task.name.replace('_', ' ')}", "classes", grid, called,
                meaning="the class that the encoder's head calls; hidden below its probability",
                classes=tuple(task.classes), match=f"class-{task.name}",
                warning="What the encoder was trained to tell on tiles of other slides and organs, not "
                "checked on this one: no diagnosis.",
            )
        )  # fmt: skip
    return layers


@lru_cache(maxsize=4)
def _heads(encoder: Path) -> Heads | None:
    """The heads beside a store's encoder that hold on slides; None if there are none that can be used."""
    from histonic.encoders.base import HEADS_FILE

    if not encoder.with_name(HEADS_FILE).is_file():
        return None
    from histonic.encoders.tile_heads import heads_beside, load_slide_heads  # torch

    try:
        path = heads_beside(encoder)
        return None if path is None else load_slide_heads(path)[0]
    except HistonicError:
        return None


def _packed(values: npt.NDArray[np.float32]) -> str:
    """Row by row as little-endian float32, base64."""
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode("ascii")
