"""Pictures of an explanation: overlay on the slide, the cells of highest and lowest value, and the checks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image

from histonic.core.compressed import CellMap
from histonic.core.files import replacing_file
from histonic.slides.outlines import rings
from histonic.slides.thumbnail import bar_length_um, length_words
from histonic.stages.explain.attribution.checks import LESION_SHARE
from histonic.stages.explain.attribution.results import DeletionCurves
from histonic.stages.explain.slide import SlidePicture, UInt8Image
from histonic.stages.explain.values import colour_scale

FOR, AGAINST, LESION = "#b35806", "#2166ac", "#1b1b1b"
"""Orange and blue are told apart by all common kinds of colour vision, and from grey."""
SIGNED = LinearSegmentedColormap.from_list(
    "against-for", ["#053061", "#2166ac", "#67a9cf", "#f7f7f7", "#f1a340", "#b35806", "#662506"]
)
UNSIGNED = LinearSegmentedColormap.from_list(
    "little-much", ["#f7f7f7", "#fee0b6", "#f1a340", "#b35806", "#662506"]
)
STYLE = {"font.size": 9, "font.family": "DejaVu Sans", "text.parse_math": False}
GREATEST_ALPHA, LEAST_ALPHA = 0.85, 0.12
DPI = 100
TILES = 8
"""Cells in a row of the sheet."""
TILE_PX, EDGE_PX = 105, 2
SHEET_CELL_PX = (115, 137)
"""Width and height that a tile takes on the sheet with its words and the room around it."""
TITLE_PX, HEADING_PX = 45, 30


def paint_overlay(
    picture: UInt8Image, cells: CellMap, signed: bool, limits: tuple[float, float] | None = None
) -> UInt8Image:
    """The slide in grey with cells in colour, the stronger the greater the value.

    Args:
        picture: uint8 ``(h, w, 3)`` of the whole slide.
        cells: The explanation.
        signed: Whether values speak for and against, or are attention.
        limits: Values at the two ends of the colours; by default those of this slide.

    Returns:
        uint8 ``(h, w, 3)``.
    """
    height, width = picture.shape[:2]
    per_pixel = cells.grid.slide_wh.w / width
    rows = ((np.arange(height) + 0.5) * per_pixel - cells.grid.square_origin_xy.y) // cells.grid.stride_level0
    cols = ((np.arange(width) + 0.5) * per_pixel - cells.grid.square_origin_xy.x) // cells.grid.stride_level0
    on_rows = (rows >= 0) & (rows < cells.values.shape[0])
    on_cols = (cols >= 0) & (cols < cells.values.shape[1])
    places = np.ix_(
        np.clip(rows, 0, cells.values.shape[0] - 1).astype(int),
        np.clip(cols, 0, cells.values.shape[1] - 1).astype(int),
    )
    values = np.where(on_rows[:, None] & on_cols, cells.values[places], np.nan)
    low, high = limits or colour_scale(cells.values, signed)
    shade = np.nan_to_num((values - low) / (high - low), nan=0.5)
    colour = (SIGNED if signed else UNSIGNED)(np.clip(shade, 0, 1))[..., :3] * 255
    strength = np.clip(np.abs(np.nan_to_num(values)) / high, 0, 1)
    alpha = LEAST_ALPHA + (GREATEST_ALPHA - LEAST_ALPHA) * strength
    alpha = np.where(np.isfinite(values), alpha, 0.0)[..., None]
    grey = picture.astype(np.float32).mean(axis=2, keepdims=True)
    painted: UInt8Image = np.clip((1 - alpha) * grey + alpha * colour, 0, 255).round().astype(np.uint8)
    return painted


def draw_overlay(
    path: Path,
    picture: SlidePicture,
    cells: CellMap,
    *,
    title: str,
    heading: str,
    signed: bool,
    lesion: npt.NDArray[np.float64] | None = None,
) -> None:
    """Draw the slide beside its explanation, with colour bar and legend.

    Args:
        path: Where to (PNG).
        picture: Of the slide.
        cells: The explanation.
        title: Slide, target, prediction.
        heading: What the colours say.
        signed: Whether values speak for and against, or are all of one sign.
        lesion: ``(R, K)`` share covered by an annotated lesion, drawn as an outline.
    """
    height, width = picture.whole.shape[:2]
    panel = 5.2 * width / max(height, width), 5.2 * height / max(height, width)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2 * panel[0] + 1.6, panel[1] + 1.25), layout="constrained", dpi=DPI)
        left, right = figure.subplots(1, 2)
        figure.suptitle(title, fontsize=10)
        # As large as it is drawn: Matplotlib takes long to make pictures smaller, and does so twice.
        whole = Image.fromarray(picture.whole)
        whole.thumbnail((round(panel[0] * DPI), round(panel[1] * DPI)), Image.Resampling.LANCZOS)
        small: UInt8Image = np.asarray(whole)
        for axes, shown, words in (
            (left, small, "Slide"),
            (right, paint_overlay(small, cells, signed), heading),
        ):
            axes.imshow(shown, extent=(0, cells.grid.slide_wh.w, cells.grid.slide_wh.h, 0))
            axes.set_title(words, fontsize=10)
            axes.set_xticks([])
            axes.set_yticks([])
            outline(axes, np.isfinite(cells.values), cells, "#555555", 0.8, "-")
            if lesion is not None:
                outline(axes, lesion >= LESION_SHARE, cells, LESION, 1.6, (0, (3, 1.5)))
        _scale_bar(left, cells)
        _colour_bar(figure, right, cells, signed)
        handles = [Line2D([], [], color="#555555", linewidth=0.8, label="tissue that was used")]
        if lesion is not None:
            dashed = Line2D(
                [], [], color=LESION, linewidth=1.6, linestyle=(0, (3, 1.5)), label="annotated lesion"
            )
            handles.append(dashed)
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=2,
            frameon=False,
            title=picture.note or None,
            title_fontsize=7,
        )
        save_png(figure, path)


def _colour_bar(figure: Figure, axes: Any, cells: CellMap, signed: bool) -> None:
    low, high = colour_scale(cells.values, signed)
    shades = np.linspace(0, 1, 256)
    colours = (SIGNED if signed else UNSIGNED)(shades)[:, :3]
    # As on the slide: laid over grey of middle brightness, the fainter the nearer to 0.
    strength = np.abs(2 * shades - 1) if signed else shades
    alpha = (LEAST_ALPHA + (GREATEST_ALPHA - LEAST_ALPHA) * strength)[:, None]
    mapped = matplotlib.cm.ScalarMappable(
        matplotlib.colors.Normalize(low, high), ListedColormap(alpha * colours + (1 - alpha) * 0.85)
    )
    bar = figure.colorbar(mapped, ax=axes, fraction=0.045, pad=0.02)
    bar.outline.set_visible(False)
    ticks = [low, 0.0, high] if signed else [0.0, 1.0, high] if high > 1.5 else [0.0, high]
    words = {high: f"for\n{high:.2g}", low: f"against\n{low:.2g}", 0.0: "0"} if signed else {}
    bar.set_ticks(ticks, labels=[words.get(tick, f"{tick:.3g}") for tick in ticks])
    bar.set_label(cells.meaning, fontsize=8)


def _scale_bar(axes: Any, cells: CellMap) -> None:
    """A line of a round number of millimetres at the lower left."""
    grid = cells.grid
    length = bar_length_um(grid.slide_wh.w * grid.slide_mpp)
    if not length:
        return
    pixels = length / grid.slide_mpp
    x, y = 0.03 * grid.slide_wh.w, 0.97 * grid.slide_wh.h
    axes.add_patch(Rectangle((x, y), pixels, 0.008 * grid.slide_wh.h, color="black", linewidth=0))
    words = length_words(length)
    axes.text(x + pixels / 2, y - 0.008 * grid.slide_wh.h, words, ha="center", va="bottom", fontsize=8)


def outline(
    axes: Any, inside: npt.NDArray[np.bool_], cells: CellMap, colour: str, width: float, dash: Any
) -> None:
    """Draw the outline of cells in level-0 pixels."""
    step, origin = cells.grid.stride_level0, cells.grid.square_origin_xy
    for shape in rings(inside):
        for ring in shape:
            corners = np.array(ring, float) * step + origin
            axes.plot(corners[:, 0], corners[:, 1], color=colour, linewidth=width, linestyle=dash)


def draw_sheet(
    path: Path,
    cells: CellMap,
    tiles: tuple[Sequence[UInt8Image], Sequence[UInt8Image]],
    chosen: tuple[Sequence[tuple[int, int]], Sequence[tuple[int, int]]],
    *,
    title: str,
    names: tuple[str, str],
    note: str = "",
) -> None:
    """Draw the cells of highest value above those of lowest value, each with its value and place.

    Args:
        path: Where to (PNG).
        cells: The explanation.
        tiles: Pictures of the highest and of the lowest.
        chosen: Their rows and columns.
        title: Slide and target.
        names: Headings of the two parts.
        note: Whatever is to be said of the pictures.
    """
    rows = [max(1, -(-len(part) // TILES)) for part in chosen]
    width, height = TILES * SHEET_CELL_PX[0] + 20, sum(rows) * SHEET_CELL_PX[1] + 2 * HEADING_PX + TITLE_PX
    sheet = np.full((height, width, 3), 255, np.uint8)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        # Axes of pixels: a set of axes a tile would take most of a second.
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        axes.text(width / 2, 6, title + (f"\n{note}" if note else ""), fontsize=9, ha="center", va="top")
        top = TITLE_PX
        for name, colour, pictures, places, count in zip(
            names, (FOR, AGAINST), tiles, chosen, rows, strict=True
        ):
            heading = name + ("" if places else ": no cell does")
            axes.text(
                10, top + HEADING_PX / 2, heading, fontsize=10, color=colour, va="center", weight="bold"
            )
            top += HEADING_PX
            for number, (picture, (row, col)) in enumerate(zip(pictures, places, strict=True)):
                x = 10 + number % TILES * SHEET_CELL_PX[0]
                y = top + number // TILES * SHEET_CELL_PX[1]
                words = f"{cells.values[row, col]:+.2g}  r{row} c{col}"
                axes.text(x + TILE_PX / 2, y + 13, words, fontsize=7, ha="center", va="bottom")
                sheet[y + 16 : y + 16 + TILE_PX, x : x + TILE_PX] = _edged(picture, colour)
            top += count * SHEET_CELL_PX[1]
        figure.figimage(sheet, zorder=-1)
        save_png(figure, path)


def _edged(picture: UInt8Image, colour: str) -> UInt8Image:
    """A tile as it stands on the sheet."""
    edge = np.full((TILE_PX, TILE_PX, 3), np.round(255 * np.array(to_rgb(colour))), np.uint8)
    inner = TILE_PX - 2 * EDGE_PX
    edge[EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX] = np.asarray(Image.fromarray(picture).resize((inner, inner)))
    return edge


def draw_deletion_curves(path: Path, curves: DeletionCurves, prediction: str, order: str) -> None:
    """Draw how the prediction changes while cells are deleted or inserted in the order of their values."""
    areas = curves.areas
    with matplotlib.rc_context({**STYLE, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(6.6, 3.1), layout="constrained", dpi=DPI)
        left, right = figure.subplots(1, 2, sharey=True)
        share = 100 * np.array(curves.share)
        backwards = curves.random[::-1]
        for axes, values, chance, colour, heading in (
            (left, curves.deletion, curves.random, AGAINST, "Deletion"),
            (right, curves.insertion, backwards, FOR, "Insertion"),
        ):
            area = getattr(areas, heading.lower())
            axes.plot(share, values, color=colour, linewidth=2, label=f"{order} first (area {area:.3g})")
            axes.plot(
                share,
                chance,
                color="#777777",
                linestyle=(0, (4, 2)),
                label=f"random order ({areas.random:.3g})",
            )
            axes.set_title(heading)
            axes.legend(frameon=False, fontsize=8)
        left.set(xlabel="cells replaced by average tissue (%)", ylabel=prediction)
        right.set(xlabel="cells shown, the rest average tissue (%)")
        save_png(figure, path)


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure, all or nothing, the same bytes for the same numbers."""
    with replacing_file(path) as partial:
        # Three times as fast as the usual level, for a tenth more bytes.
        figure.savefig(partial, format="png", metadata={"Software": None}, pil_kwargs={"compress_level": 2})
