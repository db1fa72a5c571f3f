"""How much tissue is found, and how much glass, ink and dirt is taken for it, on real fields and slides.

    python benchmarks/tissue.py [--parts laid,bare,overviews,dirt,speed] [--fields 6] [--pictures DIR]

Needs the real data (``HISTONIC_DATA``). Works on older sources too (``PYTHONPATH``), so that before and after
can be compared. All is counted in cells of 64 µm of which a quarter has to be tissue, as for a compression;
a known cell lies wholly in what it is.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from histonic.slides.formats.array import ArraySlide
from tissue_scenes import (
    BESIDE,
    FIELDS,
    GLASS,
    GLOMERULI,
    INK,
    PATCHES,
    PENS,
    TINTS,
    TISSUE,
    Scene,
    Sheet,
    cells_of,
    lay,
    read_fields,
    sheet_of,
    vignette,
    with_border,
    with_bubbles,
    with_dust,
    with_folds,
    with_pen,
)

try:
    from histonic.slides.tissue.finder import find_tissue
except ImportError:
    from histonic.slides.tissue import find_tissue

BoolImage = npt.NDArray[np.bool_]
STRENGTHS = [1.5, 1.0, 0.7, 0.4, 0.3, 0.2]
SETS = [*FIELDS, *PATCHES, *GLOMERULI]
OVERVIEW_MPP = 16.0


@dataclass(frozen=True)
class Trial:
    """What was found of a scene, in cells."""

    scene: Scene
    found: BoolImage
    counts: tuple[int, ...]

    @classmethod
    def of(cls, scene: Scene) -> Trial:
        """Look for tissue in a scene."""
        found = find_at(scene.pixels, scene.mpp)
        kept = cells_of(found, scene.mpp) >= 0.25
        counts: list[int] = []
        for kind, least in ((TISSUE, 0.75), (BESIDE, 0.75), (GLASS, 0.999), (INK, 0.999)):
            known = cells_of(scene.truth == kind, scene.mpp) >= least
            counts += [int((kept & known).sum()), int(known.sum())]
        return cls(scene, found, tuple(counts))

    @property
    def wrong(self) -> float:
        """Share of the known cells that were judged wrong, the worse of tissue and the rest."""
        tissue, all_tissue, _, _, glass, all_glass, ink, all_ink = self.counts
        return max(1 - share(tissue, all_tissue, 1.0), share(glass + ink, all_glass + all_ink, 0.0))


def share(part: int, whole: int, else_: float = float("nan")) -> float:
    return part / whole if whole else else_


def find_at(pixels: npt.NDArray[np.uint8], mpp: float) -> BoolImage:
    """Tissue of a picture, at its own resolution."""
    tissue = find_tissue(ArraySlide(np.ascontiguousarray(pixels), mpp=mpp))
    rows, cols = (
        np.minimum(((np.arange(n) + 0.5) * mpp / tissue.mpp).astype(int), most - 1)
        for n, most in zip(pixels.shape[:2], tissue.mask.shape, strict=True)
    )
    return tissue.mask[np.ix_(rows, cols)]


class Pictures:
    """The worst trials of each part, saved to be looked at."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.worst: dict[str, list[tuple[float, str, npt.NDArray[np.uint8]]]] = defaultdict(list)

    def add(
        self, part: str, wrong: float, name: str, pixels: npt.NDArray[np.uint8], found: BoolImage
    ) -> None:
        """Keep a trial if it is among the worst."""
        held = self.worst[part]
        if self.folder is None or (len(held) >= 10 and wrong <= held[-1][0]):
            return
        shown = pixels.copy()
        shown[~found] = (0.4 * shown[~found] + np.array([0, 70, 0])).astype(np.uint8)
        both = Image.fromarray(np.concatenate([pixels, shown], axis=1))
        both.thumbnail((1000, 500))
        held.append((wrong, name, np.asarray(both)))
        held.sort(key=lambda each: -each[0])
        del held[10:]

    def save(self) -> None:
        """Write a sheet for each part."""
        for part, held in self.worst.items():
            if self.folder is None or not held:
                continue
            self.folder.mkdir(parents=True, exist_ok=True)
            side = (
                max(picture.shape[0] for _, _, picture in held),
                max(picture.shape[1] for _, _, picture in held),
            )
            sheet = np.full((side[0] * ((len(held) + 1) // 2), side[1] * 2, 3), 255, np.uint8)
            for at, (_, _, picture) in enumerate(held):
                top, left = at // 2 * side[0], at % 2 * side[1]
                sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
            Image.fromarray(sheet).save(self.folder / f"{part}.png")

    def names(self, part: str) -> str:
        """The worst trials in words."""
        return "; ".join(f"{name} ({wrong:.2f})" for wrong, name, _ in self.worst[part])


def laid(data: Path, most: int, pictures: Pictures) -> Iterator[str]:
    """Fields laid on glass of eight tints, alone and beside a piece of 1.5 times the stain."""
    yield "| set | stain | recall alone | recall beside | worst scene | precision |"
    yield "| --- " * 6 + "|"
    for kind in SETS:
        fields = read_fields(data, kind, most)
        for strength in STRENGTHS:
            trials: dict[bool, list[Trial]] = {False: [], True: []}
            for at, tint in enumerate(TINTS):
                field = fields[at % len(fields)]
                for beside in (False, True):
                    others = [fields[(at + 1) % len(fields)]] if beside else []
                    scene = lay([field, *others], [strength, *[1.5] * len(others)], tint, at)
                    trial = Trial.of(scene)
                    trials[beside].append(trial)
                    if strength >= 0.4:
                        pictures.add("laid", trial.wrong, f"{kind} {scene.name}", scene.pixels, trial.found)
            alone, beside_ = (np.sum([t.counts for t in trials[b]], axis=0) for b in (False, True))
            both = alone + beside_
            worst = min(share(t.counts[0], t.counts[1], 1.0) for b in (False, True) for t in trials[b])
            precision = share(both[0] + both[2], both[0] + both[2] + both[4])
            yield (
                f"| {kind} | {strength:g} | {share(alone[0], alone[1]):.3f} "
                f"| {share(beside_[0], beside_[1]):.3f} | {worst:.2f} | {precision:.3f} |"
            )


def bare(data: Path, most: int, pictures: Pictures) -> Iterator[str]:
    """The fields as they are, without glass around them."""
    yield "| set | fields | kept, median | worst | below 0.95 | plainly empty cells kept |"
    yield "| --- " * 6 + "|"
    for kind in SETS:
        shares, empty_kept, empty_all = [], 0, 0
        for field in read_fields(data, kind, most * 5):
            found = find_at(field.pixels, field.mpp)
            kept = cells_of(found, field.mpp) >= 0.25
            empty = cells_of(field.empty, field.mpp)
            empty_kept += int((kept & (empty > 0.9)).sum())
            empty_all += int((empty > 0.9).sum())
            if (empty < 0.5).mean() >= 0.3:
                shares.append(share(int((kept & (empty < 0.5)).sum()), int((empty < 0.5).sum())))
                pictures.add("bare", 1 - shares[-1], f"{kind} {field.name}", field.pixels, found)
        yield (
            f"| {kind} | {len(shares)} | {np.median(shares):.3f} | {min(shares):.2f} "
            f"| {sum(s < 0.95 for s in shares)} | {empty_kept} of {empty_all} |"
        )


def overviews(data: Path, most: int, pictures: Pictures) -> Iterator[str]:
    """Boxes drawn by eye on overviews of whole slides, taken as 16 µm/px."""
    folder = data / "overviews"
    boxes: dict[str, list[dict[str, str]]] = defaultdict(list)
    with (folder / "reference.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            boxes[row["file"]].append(row)
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    missed = []
    for file, rows in boxes.items():
        pixels = np.asarray(Image.open(folder / file).convert("RGB"))
        found = find_at(pixels, OVERVIEW_MPP)
        for row in rows:
            x0, y0, x1, y1 = (int(row[name]) for name in ("x0", "y0", "x1", "y1"))
            part = float(found[y0:y1, x0:x1].mean())
            right = part >= 0.8 if row["kind"] == "tissue" else part <= 0.05
            name = "pen" if row["note"] == "pen" else row["kind"]
            counts[name][0] += right
            counts[name][1] += 1
            wrong = 1 - part if row["kind"] == "tissue" else part
            if not right:
                missed.append(f"{file} {name} {row['note']} {x0},{y0}: {part:.2f}")
                pictures.add("overviews", wrong, file, pixels, found)
    yield "| boxes | right | of | share |"
    yield "| --- " * 4 + "|"
    for name, (right, of) in counts.items():
        yield f"| {name} | {right} | {of} | {right / of:.3f} |"
    yield ""
    yield f"Not right: {'; '.join(missed)}."


def dirt(data: Path, most: int, pictures: Pictures) -> Iterator[str]:
    """Pens, borders, dust, bubbles, folds and vignetting over pieces of real tissue, and over nothing."""
    yield "| scene | on | tissue kept, mean | least | glass kept | ink or border kept |"
    yield "| --- " * 6 + "|"
    tissues = {kind: read_fields(data, kind, most) for kind in ("prostate_gleason", "osteosarcoma", "Masson")}

    def scenes(sheet: Sheet) -> Iterator[tuple[str, Scene]]:
        yield "clean", sheet.on("clean")
        for colour in PENS:
            yield f"{colour} pen", with_pen(sheet, colour).on(colour)
        yield "black border", with_border(sheet).on("border")
        yield "dust", with_dust(sheet).on("dust")
        yield "bubbles, cover slip", with_bubbles(sheet).on("bubbles")
        for corner in (0.85, 0.7, 0.55):
            yield (
                f"vignetting to {corner:g}",
                sheet.on("vignetting", light=vignette(len(sheet.truth), corner)),
            )
        yield "all but vignetting", with_bubbles(with_dust(with_border(with_pen(sheet, "blue")))).on("all")

    sums: dict[tuple[str, bool], list[Trial]] = defaultdict(list)
    for seed in range(2):
        sheets = [sheet_of(fields, seed) for fields in tissues.values()]
        for sheet, on in (*((s, True) for s in sheets), (sheet_of([], seed), False)):
            for name, scene in scenes(sheet):
                trial = Trial.of(scene)
                sums[name, on].append(trial)
                pictures.add("dirt", trial.wrong, f"{name} {on}", scene.pixels, trial.found)
    for (name, on), trials in sums.items():
        recalls = [share(t.counts[0], t.counts[1]) for t in trials]
        total = np.sum([t.counts for t in trials], axis=0)
        tissue = f"{np.mean(recalls):.3f} | {min(recalls):.3f}" if on else "- | -"
        ink = f"{total[6]} of {total[7]}" if total[7] else "-"
        yield f"| {name} | {'tissue' if on else 'nothing'} | {tissue} | {total[4]} of {total[5]} | {ink} |"
    folds = []
    for fields in tissues.values():
        sheet, folded = with_folds(sheet_of(fields, 0))
        scene = sheet.on("folds")
        found = find_at(scene.pixels, scene.mpp)
        folds.append((found[folded].mean(), found[(scene.truth == TISSUE) & ~folded].mean()))
    yield ""
    kept = ", ".join(f"{of_folds:.2f} and {of_rest:.3f}" for of_folds, of_rest in folds)
    yield f"Kept share of folded tissue and of the rest: {kept}."


def speed(data: Path, most: int, pictures: Pictures) -> Iterator[str]:
    """Seconds for what a slide of 1 gigapixel (0.25 and 0.5 µm/px) is at 8 µm/px, reading apart."""
    fields = read_fields(data, "prostate_gleason", most)
    sheet = sheet_of(fields, 0).on("speed").pixels[100:1100, 100:1100]
    yield "| slide | px at 8 µm | seconds, median of 5 |"
    yield "| --- " * 3 + "|"
    for mpp, side in ((0.25, 1000), (0.5, 2000)):
        picture = np.tile(sheet, (side // 1000, side // 1000, 1))
        slide = ArraySlide(picture, mpp=8.0)
        seconds = []
        for _ in range(5):
            began = time.perf_counter()
            find_tissue(slide)
            seconds.append(time.perf_counter() - began)
        yield f"| 1 gigapixel at {mpp:g} | {side} x {side} | {np.median(seconds):.2f} |"


PARTS = {"laid": laid, "bare": bare, "overviews": overviews, "dirt": dirt, "speed": speed}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--fields", type=int, default=6, help="fields of each set")
    parser.add_argument("--pictures", type=Path, help="folder for the ten worst of each part")
    parser.add_argument("--strengths", help="of the stain, for the first part; all by default")
    parser.add_argument("--sets", help="of fields, for the first two parts; all by default")
    options = parser.parse_args()
    if options.strengths:
        STRENGTHS[:] = [float(each) for each in options.strengths.split(",")]
    if options.sets:
        SETS[:] = options.sets.split(",")
    data = Path(os.environ.get("HISTONIC_DATA", "../shared/data"))
    pictures = Pictures(options.pictures)
    for part in options.parts.split(","):
        began = time.monotonic()
        print(f"## {part}\n\n{PARTS[part].__doc__}\n", flush=True)
        for line in PARTS[part](data, options.fields, pictures):
            print(line, flush=True)
        print(f"\n{time.monotonic() - began:.0f} s. Worst: {pictures.names(part)}\n", flush=True)
    pictures.save()
    return 0


if __name__ == "__main__":
    sys.exit(main())
