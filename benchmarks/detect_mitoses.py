"""The detector of `recipe midog` on real crops of mitoses and look-alikes laid into real fields.

python benchmarks/detect_mitoses.py HISTONIC_DATA --scratch SCRATCH --encoder histonic-mtl

Crops of TUPAC16 (patches/breast_mitosis, 12 µm wide, soft at their edge) stand in fields of glioblastoma
(fields/glioblastoma, taken as 0.25 µm/px), six of each class in a field. Cases are dealt out to three
domains, whose stains are made stronger or weaker as a whole. The folder has the shape of MIDOG 2021, and the
recipe is run on it as it is.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from histonic import recipe
from histonic.core.files import write_json
from histonic.encoders.colour import STAIN_MATRIX
from histonic.slides.formats.pyramid import write_pyramid

CROP_PX, MPP, IMAGES, EACH, APART_PX, RIM_PX = 48, 0.25, 12, 6, 70, 40
FIRST = (1, 51, 101)
"""First image of each domain."""
STAINS = ((1.0, 1.0, 1.0), (0.65, 0.8, 1.0), (1.3, 1.0, 1.2))
"""By what the stains of each domain are multiplied: haematoxylin, eosin, residual."""
SEED = 7
FIGURES_PER_MM2, LOOKALIKES_PER_MM2 = 5.7, 9.0
"""In MIDOG 2021: 1,721 and 2,714 on 150 images of 2 mm²."""
HIT_UM = 7.5


def lay(data: Path, out: Path) -> None:
    """Write images and MIDOG.json."""
    rng = np.random.default_rng(SEED)
    tiles = data / "patches" / "breast_mitosis"
    with (tiles / "tiles.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["group"].startswith("TUPAC")]
    fields = sorted((data / "fields" / "glioblastoma").glob("*.jpg"))
    near = np.minimum(np.arange(CROP_PX), CROP_PX - 1 - np.arange(CROP_PX))
    soft = np.clip((np.minimum.outer(near, near) + 1) / 8, 0, 1)[..., None]
    half, images, boxes = CROP_PX // 2, [], []
    for domain, first in enumerate(FIRST):
        own = [row for row in rows if int(re.search(r"_(\d+)", row["group"])[1]) % 3 == domain]  # type: ignore[index]
        pools = [[row for row in own if (row["label"] == "mitosis") is shows] for shows in (True, False)]
        for pool in pools:
            rng.shuffle(pool)  # type: ignore[arg-type]
        for number in range(first, first + IMAGES):
            place = 7 * len(images) + 3
            field = np.asarray(Image.open(fields[place % len(fields)]).convert("RGB")).astype(float)
            high, wide = field.shape[:2]
            taken: list[tuple[int, int]] = []
            for kind, pool in enumerate(pools, start=1):
                for _ in range(EACH):
                    crop = np.asarray(Image.open(tiles / pool.pop()["path"]).convert("RGB")).astype(float)
                    x, y = next(_places(rng, wide, high, taken))
                    taken.append((x, y))
                    under = field[y - half : y + half, x - half : x + half]
                    under[:] = soft * crop + (1 - soft) * under
                    box = [int(x - 25), int(y - 25), int(x + 25), int(y + 25)]
                    boxes.append({"bbox": box, "category_id": kind, "image_id": number, "id": len(boxes) + 1})
            name = f"{number:03d}.tiff"
            images.append({"file_name": name, "id": number, "width": wide, "height": high})
            pixels = np.clip(stained(np.clip(field, 0, 255), STAINS[domain], rng), 0, 255).astype(np.uint8)
            write_pyramid(out / "images" / name, pixels, mpp=MPP)
    write_json(
        out / "MIDOG.json",
        {"info": {}, "licenses": [], "images": images, "categories": [], "annotations": boxes},
    )


def _places(
    rng: np.random.Generator, wide: int, high: int, taken: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    for _ in range(200):
        x, y = rng.integers(RIM_PX, wide - RIM_PX), rng.integers(RIM_PX, high - RIM_PX)
        if all(np.hypot(x - a, y - b) > APART_PX for a, b in taken):
            yield int(x), int(y)
    raise SystemExit("a field is too small for so many crops")


def stained(pixels: np.ndarray, times: tuple[float, ...], rng: np.random.Generator) -> np.ndarray:
    """The pixels with stains so many times as strong, and a little more or less in each image."""
    matrix = np.array(STAIN_MATRIX)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    density = -np.log10((pixels + 1) / 256) @ np.linalg.inv(matrix)
    density *= np.array(times) * rng.uniform(0.92, 1.08, 3)
    return 256 * 10 ** -(density @ matrix) - 1


def points_on(base: dict[str, Any], folder: Path) -> dict[int, list[tuple[float, str]]]:
    """Probability of each point of a submission, and on what it lies, by domain."""
    found: dict[int, list[tuple[float, str]]] = {}
    for image in base["images"]:
        held = json.loads((folder / f"{image['id']:03d}.json").read_text(encoding="utf-8"))
        boxes = [each for each in base["annotations"] if each["image_id"] == image["id"]]
        hit: set[int] = set()
        for point in sorted(held["points"], key=lambda each: -each["probability"]):
            x, y = np.array(point["point"][:2]) * 1000 / MPP
            on = "elsewhere"
            for box in boxes:
                a, b = (box["bbox"][0] + box["bbox"][2]) / 2, (box["bbox"][1] + box["bbox"][3]) / 2
                if np.hypot(x - a, y - b) * MPP <= HIT_UM and box["id"] not in hit:
                    hit.add(box["id"])
                    on = "figure" if box["category_id"] == 1 else "lookalike"
                    break
            found.setdefault((image["id"] - 1) // 50, []).append((point["probability"], on))
    return found


def at_density(base: dict[str, Any], points: dict[int, list[tuple[float, str]]]) -> tuple[float, list[int]]:
    """F1 if figures and look-alikes were as rare as in MIDOG, with thresholds chosen in the other domains."""
    mm2 = sum(each["width"] * each["height"] for each in base["images"]) * MPP**2 / 1e6
    count = [sum(each["category_id"] == kind for each in base["annotations"]) for kind in (1, 2)]
    figure, alike = FIGURES_PER_MM2 * mm2 / count[0], LOOKALIKES_PER_MM2 * mm2 / count[1]

    def counts(domains: Sequence[int], threshold: float) -> list[int]:
        kept = [on for each in domains for p, on in points[each] if p >= threshold]
        return [kept.count(on) for on in ("figure", "lookalike", "elsewhere")]

    def f1(found: Sequence[int], share: float) -> float:
        true = figure * found[0]
        return 2 * true / (true + alike * found[1] + found[2] + figure * count[0] * share)

    total = np.zeros(3, int)
    for domain in points:
        others = [each for each in points if each != domain]
        tried = sorted({p for each in others for p, on in points[each] if on == "figure"})
        best = max(tried, key=lambda each: f1(counts(others, each), len(others) / len(points)))
        total += counts([domain], best)
    return f1(total.tolist(), 1.0), total.tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--encoder", default="histonic-mtl")
    given = parser.parse_args()
    folder = given.scratch / "laid"
    if not (folder / "MIDOG.json").is_file():
        lay(given.data, folder)
    out = given.scratch / given.encoder
    result = recipe(name="midog", data=folder, out=out, encoder=given.encoder, run=True)
    print("\n".join(result.outcome.lines))
    base = json.loads((folder / "MIDOG.json").read_text(encoding="utf-8"))
    value, (figures, alike, elsewhere) = at_density(base, points_on(base, out / "submission"))
    print(
        f"reweighted to MIDOG's density: F1 {value:.3f} "
        f"({figures} figures, {alike} look-alikes, {elsewhere} elsewhere)"
    )


if __name__ == "__main__":
    main()
