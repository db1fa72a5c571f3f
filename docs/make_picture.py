"""Draw docs/picture.png from a demo folder: python docs/make_picture.py histonic-demo."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from histonic.data.maps.store import Store
from histonic.slides.base import open_slide
from histonic.slides.thumbnail import thumbnail


def code_colours(features: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The three main components of the codes as red, green and blue; white outside the mask."""
    codes = features[:, mask].T.astype(float)
    codes = (codes - codes.mean(0)) / (codes.std(0) + 1e-6)
    _, _, axes = np.linalg.svd(codes, full_matrices=False)
    parts = codes @ axes[:3].T
    low, high = np.quantile(parts, [0.02, 0.98], axis=0)
    picture = np.ones((*mask.shape, 3))
    picture[mask] = np.clip((parts - low) / (high - low), 0, 1)
    return picture


def main() -> None:
    """Slide, map and prediction side by side."""
    demo = Path(sys.argv[1])
    store = Store.open(demo / "store")
    slide = store.map(store.slide_ids[0])
    with open_slide(demo / "slides" / slide.slide.file) as opened:
        picture = thumbnail(opened, 900)
    table = pd.read_csv(demo / "run" / "predictions" / "proliferation_score.csv")
    figure = Figure(figsize=(10.5, 3.7), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.05))
    left.imshow(picture)
    left.set_title("a slide (simulated)", fontsize=10)
    middle.imshow(code_colours(slide.features[:], slide.mask), interpolation="nearest")
    rows, cols = slide.mask.shape
    middle.set_title(f"its map: {rows} x {cols} cells, {slide.code_size} numbers each", fontsize=10)
    for axes in (left, middle):
        axes.set(xticks=[], yticks=[])
    right.scatter(table["truth"], table["predicted"], s=14, color="#20609f")
    right.set_xlabel("proliferation score")
    right.set_ylabel("out-of-fold prediction")
    right.set_title(f"{len(table)} patients, each predicted by\nnetworks that never saw them", fontsize=10)
    for side in ("top", "right"):
        right.spines[side].set_visible(False)
    figure.savefig(Path(__file__).with_name("picture.png"), dpi=110)


if __name__ == "__main__":
    main()
