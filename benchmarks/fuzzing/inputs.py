"""The undamaged inputs: small files of every kind that the package reads, made by it or other libraries."""

from __future__ import annotations

import csv
import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import numpy as np
import pandas as pd
import tifffile
from PIL import Image

from histonic.encoders.base import EncoderSpec, load_encoder
from histonic.encoders.networks.nic import NicEncoder
from histonic.simulate.slides import simulate_tissue
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress.compress import compress
from histonic.stages.tiles.extract import extract_tiles
from histonic.stages.train.train import train_slides

SIDE_PX = 640
PATIENTS = 24
APERIO = "Aperio Image Library v12.0.0\r\n{0}x{0} ({1}x{1}) Q=70|AppMag = 20|MPP = 0.5000"
KERAS_SIDES = (64, 31, 15, 7, 3)


def make_inputs(folder: Path) -> None:
    """Write every input below a folder."""
    picture = tissue_picture(SIDE_PX, 0)
    shared = folder / "shared"
    shared.mkdir(parents=True)
    write_pyramid(shared / "slide.tif", picture, mpp=0.5)
    write_pyramid(_in(folder, "pyramid") / "slide.tif", picture, mpp=0.5)
    _write_svs(_in(folder, "svs-jpeg") / "slide.svs", picture, 7)
    _write_svs(_in(folder, "svs-jpeg2000") / "slide.svs", picture, 33005)
    write_dicom(_in(folder, "dicom") / "slide.dcm", picture)
    _write_tables(folder)
    _write_cohort(folder, shared)
    _write_encoders(folder)
    _write_annotations(folder)
    _write_tile_sets(folder, shared)
    _write_settings(folder)


def _in(folder: Path, name: str) -> Path:
    (folder / name).mkdir(parents=True, exist_ok=True)
    return folder / name


def tissue_picture(side: int, seed: int) -> np.ndarray:
    """Tissue in the middle of glass, uint8 ``(side, side, 3)``."""
    picture = np.full((side, side, 3), 243, np.uint8)
    inner = side - side // 4
    start = side // 8
    tissue = simulate_tissue(inner, np.random.default_rng(seed))
    picture[start : start + inner, start : start + inner] = tissue[:inner, :inner]
    return picture


def _tiles(image: np.ndarray, side: int) -> Iterator[np.ndarray]:
    for top in range(0, image.shape[0], side):
        for left in range(0, image.shape[1], side):
            tile = np.full((side, side, 3), 243, np.uint8)
            part = image[top : top + side, left : left + side]
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile


def _write_svs(path: Path, image: np.ndarray, compression: int, side: int = 128) -> None:
    """The directories of an Aperio slide: full size, thumbnail in strips, a coarser level."""
    with tifffile.TiffWriter(path) as writer:
        for number, level in enumerate((image, image[::8, ::8], image[::4, ::4])):
            common: dict[str, Any] = {
                "description": APERIO.format(len(level), side),
                "metadata": None,
                "photometric": "rgb",
            }
            if number == 1:
                writer.write(np.ascontiguousarray(level), **common)
                continue
            encoded = (
                imagecodecs.jpeg2k_encode(tile, codecformat="j2k", level=60, mct=False)
                if compression != 7
                else imagecodecs.jpeg_encode(tile, 80, colorspace="RGB", outcolorspace="RGB")
                for tile in _tiles(level, side)
            )
            writer.write(
                encoded,
                shape=level.shape,
                dtype=np.uint8,
                tile=(side, side),
                compression=compression,
                **common,
            )


def _element(group: int, number: int, kind: str, value: Any) -> bytes:
    """A DICOM element in explicit little endian."""
    if isinstance(value, str):
        value = value.encode("ascii")
        value += (b"\0" if kind == "UI" else b" ") * (len(value) % 2)
    elif kind in ("US", "UL"):
        value = struct.pack("<H" if kind == "US" else "<I", value)
    elif kind == "FL":
        value = struct.pack("<f", value)
    head = struct.pack("<HH", group, number) + kind.encode()
    if kind in ("OB", "SQ", "UN", "OW"):
        return head + b"\0\0" + struct.pack("<I", len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def _sequence(group: int, number: int, *items: bytes) -> bytes:
    packed = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
    return _element(group, number, "SQ", packed)


def write_dicom(path: Path, image: np.ndarray, side: int = 128) -> None:
    """A whole-slide picture as DICOM: one level, tiles uncompressed, 0.5 µm/px."""
    tiles = list(_tiles(image, side))
    uid = "1.2.826.0.1.3680043.8.498.1"
    spacing = _element(0x28, 0x30, "DS", "0.0005\\0.0005") + _element(0x18, 0x50, "DS", "0.001")
    optics = _element(0x48, 0x105, "UN", b"")
    body = b"".join(
        (
            _element(0x08, 0x08, "CS", "ORIGINAL\\PRIMARY\\VOLUME\\NONE"),
            _element(0x08, 0x16, "UI", "1.2.840.10008.5.1.4.1.1.77.1.6"),
            _element(0x08, 0x18, "UI", f"{uid}.2"),
            _element(0x08, 0x60, "CS", "SM"),
            _element(0x20, 0x0D, "UI", f"{uid}.3"),
            _element(0x20, 0x0E, "UI", f"{uid}.4"),
            _element(0x20, 0x9311, "CS", "TILED_FULL"),
            _element(0x28, 0x02, "US", 3),
            _element(0x28, 0x04, "CS", "RGB"),
            _element(0x28, 0x06, "US", 0),
            _element(0x28, 0x08, "IS", str(len(tiles))),
            _element(0x28, 0x10, "US", side),
            _element(0x28, 0x11, "US", side),
            _element(0x28, 0x100, "US", 8),
            _element(0x28, 0x101, "US", 8),
            _element(0x28, 0x102, "US", 7),
            _element(0x28, 0x103, "US", 0),
            _element(0x48, 0x01, "FL", image.shape[1] * 0.0005),
            _element(0x48, 0x02, "FL", image.shape[0] * 0.0005),
            _element(0x48, 0x06, "UL", image.shape[1]),
            _element(0x48, 0x07, "UL", image.shape[0]),
            _element(0x48, 0x302, "UL", 1),
            _sequence(0x5200, 0x9229, _sequence(0x28, 0x9110, spacing)),
            _element(0x7FE0, 0x10, "OB", b"".join(tile.tobytes() for tile in tiles)),
        )
    )
    del optics
    meta = b"".join(
        (
            _element(0x02, 0x01, "OB", b"\0\1"),
            _element(0x02, 0x02, "UI", "1.2.840.10008.5.1.4.1.1.77.1.6"),
            _element(0x02, 0x03, "UI", f"{uid}.2"),
            _element(0x02, 0x10, "UI", "1.2.840.10008.1.2.1"),
            _element(0x02, 0x12, "UI", f"{uid}.5"),
        )
    )
    path.write_bytes(b"\0" * 128 + b"DICM" + _element(0x02, 0x00, "UL", len(meta)) + meta + body)


def table_rows(patients: int = PATIENTS) -> list[dict[str, Any]]:
    """Rows of a label table with a class, a score and a survival time."""
    rng = np.random.default_rng(3)
    rows = []
    for number in range(patients):
        severity = float(rng.normal())
        rows.append(
            {
                "patient_id": f"P{number:03d}",
                "slide_id": f"s{number:02d}",
                "site": "AB"[number % 2],
                "grade": ("low", "mid", "high")[int(np.digitize(severity, [-0.5, 0.5]))],
                "score": round(50 + 10 * severity, 2),
                "os_months": round(float(rng.uniform(2, 90)), 1),
                "os_event": int(rng.random() < 0.6),
            }
        )
    return rows


def _write_tables(folder: Path) -> None:
    frame = pd.DataFrame(table_rows())
    frame.to_csv(_in(folder, "csv") / "labels.csv", index=False)
    frame.to_csv(_in(folder, "tsv") / "labels.tsv", index=False, sep="\t")
    frame.to_excel(_in(folder, "xlsx") / "labels.xlsx", index=False)
    frame.to_parquet(_in(folder, "parquet") / "labels.parquet", index=False)


def _write_cohort(folder: Path, shared: Path) -> None:
    """A store of maps of slides, its label table, and a bundle trained on it."""
    slides = _in(shared, "slides")
    for number in range(12):
        write_pyramid(slides / f"s{number:02d}.tif", tissue_picture(SIDE_PX, number), mpp=0.5)
    compress(slides=(slides,), encoder="colour", out=shared / "store", device="cpu")
    labels = shared / "labels.csv"
    with labels.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table_rows(12)[0]))
        writer.writeheader()
        writer.writerows(table_rows(12))
    survival = "os:survival:os_months,os_event"
    runs = (
        ("run", "score:regression", 0),
        ("other-run", "score:regression", 1),
        ("survival-run", survival, 0),
    )
    for name, target, seed in runs:
        train_slides(
            **{"store": shared / "store", "labels": labels, "target": [target], "out": shared / name},
            **{"folds": 3, "max_epochs": 1, "batch": 4, "device": "cpu", "aggregator": "abmil"},
            **{"learning_rate": 1e-3, "seed": seed},
        )
    (folder / "store").mkdir()
    _copy(shared / "store", folder / "store" / "store", only=("s00", "s01"))
    _copy(shared / "run" / "bundle", folder / "bundle" / "bundle")
    _copy(shared / "survival-run" / "bundle", folder / "bundle-survival" / "bundle")
    _copy(shared / "run", folder / "run" / "run")


def _copy(source: Path, target: Path, only: Sequence[str] = ()) -> None:
    """Copy a folder; of a store only the maps with some names."""
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        other_map = (
            only and len(name.parts) > 1 and not any(part.startswith(tuple(only)) for part in name.parts)
        )
        if path.is_file() and not other_map:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(path.read_bytes())


def _write_encoders(folder: Path) -> None:
    spec = EncoderSpec("fuzzed", "nic", 128, 0.5, 16, licence="none")
    encoder = NicEncoder(spec, NicEncoder.build(spec))
    encoder.save(_in(folder, "encoder") / "encoder.safetensors")
    load_encoder("colour").save(_in(folder, "encoder-colour") / "encoder.safetensors")
    write_keras(_in(folder, "h5") / "encoder_fuzzed.h5")


def write_keras(path: Path) -> None:
    """An encoder as Keras saves one, with the layers of the released encoders and random weights."""
    rng = np.random.default_rng(0)
    layers: list[dict[str, Any]] = [{"class_name": "InputLayer", "config": {"name": "in"}}]
    weights: dict[str, dict[str, Any]] = {}
    channels = 3
    for n in range(1, 5):
        conv = {"name": f"conv{n}", "strides": [2, 2], "padding": "valid", "activation": "linear"}
        layers += [
            {"class_name": "Conv2D", "config": conv},
            {"class_name": "LeakyReLU", "config": {"name": f"relu{n}", "alpha": 0.2}},
            {"class_name": "BatchNormalization", "config": {"name": f"norm{n}", "epsilon": 0.001}},
        ]
        weights[f"conv{n}"] = {"kernel": rng.normal(0, 0.05, (3, 3, channels, 128)), "bias": np.zeros(128)}
        weights[f"norm{n}"] = {
            **{name: np.ones(128) for name in ("gamma", "moving_variance")},
            **{name: np.zeros(128) for name in ("beta", "moving_mean")},
        }
        channels = 128
    layers += [
        {"class_name": "Flatten", "config": {"name": "flat"}},
        {"class_name": "Dense", "config": {"name": "code"}},
    ]
    weights["code"] = {"kernel": rng.normal(0, 0.05, (1152, 128)), "bias": np.zeros(128)}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Model", "config": {"layers": layers}})
        for layer, named in weights.items():
            for name, values in named.items():
                file[f"model_weights/{layer}/{layer}/{name}:0"] = np.asarray(values, np.float32)


def _write_annotations(folder: Path) -> None:
    def square(x: int, y: int, side: int) -> list[list[int]]:
        return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]

    shapes = [("tumour", (80, 80, 260)), ("stroma", (340, 80, 220)), ("tumour", (80, 350, 200))]
    features = [
        {
            "type": "Feature",
            "id": f"{number}",
            "geometry": {"type": "Polygon", "coordinates": [square(*place)]},
            "properties": {
                "objectType": "annotation",
                "classification": {"name": label, "color": [200, 0, 0]},
            },
        }
        for number, (label, place) in enumerate(shapes)
    ]
    features[0]["geometry"] = {
        "type": "MultiPolygon",
        "coordinates": [[square(80, 80, 260), square(180, 180, 20)]],
    }
    text = json.dumps({"type": "FeatureCollection", "features": features}, indent=1)
    (_in(folder, "geojson") / "slide.geojson").write_text(text, encoding="utf-8")
    lines = ['<?xml version="1.0"?>', "<ASAP_Annotations>", "<Annotations>"]
    for number, (label, place) in enumerate(shapes):
        lines.append(
            f'<Annotation Name="A{number}" Type="Polygon" PartOfGroup="{label}" Color="#F4FA58"><Coordinates>'
        )
        for order, (x, y) in enumerate(square(*place)[:-1]):
            lines.append(f'<Coordinate Order="{order}" X="{x}.0" Y="{y}.0"/>')
        lines.append("</Coordinates></Annotation>")
    groups = "".join(f'<Group Name="{name}" PartOfGroup="None"/>' for name in ("tumour", "stroma"))
    lines += ["</Annotations>", f"<AnnotationGroups>{groups}</AnnotationGroups>", "</ASAP_Annotations>"]
    (_in(folder, "asap") / "slide.xml").write_text("\n".join(lines), encoding="utf-8")
    codes = np.zeros((160, 160), np.uint8)
    codes[20:85, 20:85] = 1
    codes[20:80, 90:140] = 2
    Image.fromarray(codes).save(_in(folder, "mask") / "slide.png")


def _tile(label: int, number: int, side: int = 32) -> np.ndarray:
    rng = np.random.default_rng(1000 * label + number)
    return np.clip(rng.normal((200, 120)[label], 20, (side, side, 3)), 0, 255).astype(np.uint8)


def _write_tile_sets(folder: Path, shared: Path) -> None:
    """A folder a class, a table, our own extracted set, and PatchCamelyon's files; twelve tiles a class."""
    rows = []
    for label, name in enumerate(("pale", "dark")):
        for number in range(12):
            split = ("train", "train", "val", "test")[number % 4]
            plain = _in(folder, f"tiles-folder/set/{split}/{name}") / f"{number}.png"
            Image.fromarray(_tile(label, number)).save(plain)
            photo = _in(folder, f"tiles-jpg/set/{split}/{name}") / f"{number}.jpg"
            Image.fromarray(_tile(label, number)).save(photo, quality=90)
            listed = _in(folder, "tiles-table/set") / f"{name}-{number}.png"
            Image.fromarray(_tile(label, number)).save(listed)
            rows.append({"path": listed.name, "label": name, "split": split, "group": f"g{number}{label}"})
    pd.DataFrame(rows).to_csv(folder / "tiles-table" / "set" / "tiles.csv", index=False)
    pcam = _in(folder, "tiles-pcam/set")
    for place, part in enumerate(("train", "valid", "test")):
        tiles = np.stack([_tile(number % 2, number + 50 * (place + 1)) for number in range(8)])
        stem = f"camelyonpatch_level_2_split_{part}"
        with h5py.File(pcam / f"{stem}_x.h5", "w") as file:
            file.create_dataset("x", data=tiles, chunks=(4, 32, 32, 3), compression="gzip")
        with h5py.File(pcam / f"{stem}_y.h5", "w") as file:
            file["y"] = (np.arange(8) % 2).astype(np.uint8).reshape(8, 1, 1, 1)
    annotations = _in(shared, "annotations")
    for slide in sorted((shared / "slides").glob("*.tif"))[:6]:
        drawn = (folder / "geojson" / "slide.geojson").read_bytes()
        (annotations / f"{slide.stem}.geojson").write_bytes(drawn)
    extract_tiles(
        **{"slides": sorted((shared / "slides").glob("s0[0-5].tif")), "annotations": annotations},
        **{"out": folder / "tiles-extracted" / "set", "tile_px": 64, "mpp": 0.5, "val_share": 0.2},
        **{"test_share": 0.2, "max_per_class_per_slide": 3},
    )


def _write_settings(folder: Path) -> None:
    """Settings files; relative paths are those of the folder in which a mutant is tried."""
    where = _in(folder, "yaml")
    (where / "compress.yaml").write_text(
        "slides: [shared/slide.tif]\nencoder: colour\nout: out/store\nmpp: 0.5\nbatch: 16\nprecision: '32'\n"
        "device: cpu\nshard: 1/1\norientations: 1\ntissue:\n  mpp: 8.0\n  min_cell_share: 0.25\n",
        encoding="utf-8",
    )
    where = _in(folder, "yaml-doctor")
    (where / "doctor.yaml").write_text(
        "labels: shared/labels.csv\ntarget:\n  - grade:multiclass\n  - score:regression\n"
        "  - os:survival:os_months,os_event\ncolumns:\n  patient_id: patient_id\n  site: site\n"
        "event_coding: event\n",
        encoding="utf-8",
    )
    where = _in(folder, "yaml-tiles")
    (where / "tiles.yaml").write_text(
        "slides:\n- shared/slide.tif\nannotations: shared/slide.geojson\nout: out/set\n"
        "labels:\n  tumour: cancer\nexclude: []\ntile_px: 64\nmpp: 0.5\nmin_share: 0.75\nval_share: 0.0\n"
        "seed: 3\ntissue: {mpp: 8.0}\n",
        encoding="utf-8",
    )
    (folder / "shared" / "slide.geojson").write_bytes((folder / "geojson" / "slide.geojson").read_bytes())
