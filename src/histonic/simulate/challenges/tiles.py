"""Miniatures of the challenges on tiles, photographs and fields, under the organisers' own names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from histonic.core.files import replacing_file, write_json, write_text
from histonic.simulate.challenges.images import (
    LABELS,
    Subject,
    UInt8Image,
    subject,
    tissue,
    write_picture,
)
from histonic.simulate.patients import Latents
from histonic.slides.formats.pyramid import write_pyramid

PCAM_PX, NCT_PX = 96, 224
PCAM_COUNTS = {"train": 48, "valid": 16, "test": 16}
NCT_CLASSES = ("ADI", "BACK", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM")
BREAKHIS_TYPES = {
    "A": ("B", "benign", "adenosis"),
    "F": ("B", "benign", "fibroadenoma"),
    "DC": ("M", "malignant", "ductal_carcinoma"),
    "LC": ("M", "malignant", "lobular_carcinoma"),
}
MIDOG_PX, MIDOG_MPP, BOX_PX, RIM_PX = 640, 0.25, 50, 60


def _shade(seed: int, number: int, level: float, wh: tuple[int, int], site: int = 0) -> UInt8Image:
    """Tissue whose nuclei are the more, the higher the level (0 to 1)."""
    drawn = subject(seed, number, site)
    return tissue(Subject(Latents(level, 1 - level, 0.5), drawn.site, drawn.rng), wh)


def write_patchcamelyon(out: Path, seed: int = 0) -> None:
    """48, 16 and 16 tiles in HDF5, and the tables that name their slides."""
    for part, count in PCAM_COUNTS.items():
        labels = np.arange(count) % 2
        first = 1000 * list(PCAM_COUNTS).index(part)
        sheets = [_shade(seed, first + k, 0.1 + 0.8 * k, (96 * 8, 96 * 8)) for k in range(2)]
        tiles = np.stack([_tile(sheets[int(label)], k // 2) for k, label in enumerate(labels)])
        stem = f"camelyonpatch_level_2_split_{part}"
        for key, values in (("x", tiles), ("y", labels.astype(np.uint8).reshape(-1, 1, 1, 1))):
            with replacing_file(out / f"{stem}_{key}.h5") as partial, h5py.File(partial, "w") as file:
                file.create_dataset(key, data=values)
        rows = [",coord_y,coord_x,tumor_patch,center_tumor_patch,wsi"]
        for k, label in enumerate(labels.tolist()):
            kind = f"train_{'tumor' if label else 'normal'}" if part == "train" else f"test_{part}"
            slide = f"camelyon16_{kind}_{k % 6:03d}"
            rows.append(f"{k},{1000 * k},{500 * k},{bool(label)},{bool(label)},{slide}")
        write_text(out / f"{stem}_meta.csv", "\n".join(rows) + "\n")


def _tile(sheet: UInt8Image, place: int) -> UInt8Image:
    row, col = divmod(place, 8)
    return sheet[row * PCAM_PX : (row + 1) * PCAM_PX, col * PCAM_PX : (col + 1) * PCAM_PX]


def write_nct_crc(out: Path, seed: int = 0) -> None:
    """Eight training and four test tiles of each of the nine classes."""
    letters = "ACDEFGHIKLMN"
    for number, label in enumerate(NCT_CLASSES):
        for place in range(12):
            home = "NCT-CRC-HE-100K" if place < 8 else "CRC-VAL-HE-7K"
            image = _shade(seed, 100 * number + place, number / 8, (NCT_PX, NCT_PX), place)
            if label == "BACK":
                image = np.clip(image // 16 + 225, 0, 255).astype(np.uint8)
            stem = f"{label}-{letters[place] * 4}{letters[number] * 4}"
            write_picture(out / home / label / f"{stem}.tif", image)


def write_bach(out: Path, seed: int = 0) -> None:
    """Four photographs of each class, two of the test set, and classes without header."""
    rows = []
    home = out / "ICIAR2018_BACH_Challenge"
    classes = (("n", "Normal"), ("b", "Benign"), ("is", "InSitu"), ("iv", "Invasive"))
    for number, (begin, name) in enumerate(classes):
        for place in range(1, 5):
            image = _shade(seed, 20 * number + place, number / 3, (640, 480), place)
            write_picture(home / "Photos" / name / f"{begin}{place:03d}.tif", image)
            rows.append(f"{begin}{place:03d}.tif,{name}")
    write_text(home / "Photos" / "microscopy_ground_truth.csv", "\n".join(rows) + "\n")
    for place in range(2):
        image = _shade(seed, 900 + place, float(place), (640, 480))
        write_picture(out / "ICIAR2018_BACH_Challenge_TestDataset" / "Photos" / f"test{place}.tif", image)


def write_breakhis(out: Path, seed: int = 0) -> None:
    """Eight patients of four types, three images of each at four magnifications."""
    root = out / "BreaKHis_v1" / "histology_slides" / "breast"
    for number, (type_, (letter, kind, folder)) in enumerate(BREAKHIS_TYPES.items()):
        for place in range(2):
            slide = f"{16184 + 7 * number + 50 * place}{'CD' if place else ''}"
            own = root / kind / "SOB" / folder / f"SOB_{letter}_{type_}_14-{slide}"
            for magnification in (40, 100, 200, 400):
                for image in range(1, 4):
                    drawn = 1000 * number + 100 * place + magnification + image
                    pixels = _shade(seed, drawn, 0.85 if letter == "M" else 0.15, (175, 115), place)
                    name = f"SOB_{letter}_{type_}-14-{slide}-{magnification}-{image:03d}.png"
                    write_picture(own / f"{magnification}X" / name, pixels)


def write_midog(out: Path, seed: int = 0) -> None:
    """MIDOG 2021: two images of each labelled scanner and one of the unlabelled one, boxes as corners."""
    rng = np.random.default_rng([seed, LABELS])
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in (1, 2, 51, 52, 101, 102, 151):
        pixels = _shade(seed, number, 0.3, (MIDOG_PX, MIDOG_PX), number // 50).copy()
        name = f"{number:03d}.tiff"
        images.append({"file_name": name, "id": number, "width": MIDOG_PX, "height": MIDOG_PX, "license": 1})
        places = rng.permutation(25)[: 0 if number > 150 else 16]
        for place, cell in enumerate(places.tolist()):
            x, y = (RIM_PX + 130 * (cell % 5), RIM_PX + 130 * (cell // 5))
            kind = 1 + place % 2
            _paint(pixels, x, y, dark=kind == 1)
            box = [x - BOX_PX // 2, y - BOX_PX // 2, x + BOX_PX // 2, y + BOX_PX // 2]
            annotations.append(
                {"bbox": box, "category_id": kind, "image_id": number, "id": len(annotations) + 1}
            )
        write_pyramid(out / "images" / name, pixels, mpp=MIDOG_MPP)
    content = {
        "info": {"description": "a miniature of simulated images"},
        "licenses": [{"url": "", "id": 1, "name": "simulated"}],
        "images": images,
        "categories": [{"id": 1, "name": "mitotic figure"}, {"id": 2, "name": "hard negative"}],
        "annotations": annotations,
    }
    write_json(out / "MIDOG.json", content)


def _paint(pixels: UInt8Image, x: int, y: int, *, dark: bool) -> None:
    """A dark plate, or a paler round spot."""
    rows, cols = np.ogrid[: pixels.shape[0], : pixels.shape[1]]
    wide, high = (12, 5) if dark else (9, 9)
    inside = ((cols - x) / wide) ** 2 + ((rows - y) / high) ** 2 <= 1
    pixels[inside] = (40, 20, 70) if dark else (130, 90, 150)
