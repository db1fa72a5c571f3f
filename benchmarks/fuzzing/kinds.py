"""The kinds of input: which files are damaged and how, the command that reads them, and its numbers."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from fuzzing import formats
from fuzzing.bytewise import Change, Damage, Spans, damage_bytes, mix_members, splice

Numbers = Callable[[Path], Any]
"""What a command wrote, from the folder in which it ran."""


@dataclass(frozen=True)
class Case:
    """Files that are damaged, and the command that reads them.

    Attributes:
        folder: Of the undamaged files, below the inputs.
        words: The command line, in a folder with ``damaged`` and ``shared``.
        numbers: What it found.
        damages: Ways to damage.
        blind: Whether a format has no checksum or header that could tell a change in these places.
    """

    folder: str
    words: tuple[str, ...]
    numbers: Numbers
    damages: tuple[Damage, ...]
    blind: Callable[[Path, Spans], bool] = lambda file, spans: False

    def is_blind(self, change: Change, undamaged: Path) -> bool:
        """Whether nothing in the file could have told."""
        if change.blind is not None:
            return change.blind
        return self.blind(undamaged / change.file, change.spans)


def maps(folder: Path) -> Any:
    """Codes, masks and grids of a store."""
    from histonic.data.maps.store import Store

    store = Store.open(folder / "out" / "store")
    found = []
    for slide_id in store.slide_ids:
        each = store.map(slide_id)
        digest = hashlib.sha256(np.ascontiguousarray(each.features[:]).tobytes())
        digest.update(np.ascontiguousarray(each.mask).tobytes())
        found.append((slide_id, digest.hexdigest(), repr(each.grid)))
    return found


def table(name: str) -> Numbers:
    """The rows of a table that a command wrote."""
    return lambda folder: list(csv.reader((folder / "out" / name).read_text(encoding="utf-8").splitlines()))


def comparison(folder: Path) -> Any:
    """Measures of the runs that were compared."""
    return json.loads((folder / "out" / "comparison.json").read_text(encoding="utf-8"))


def tile_set(folder: Path) -> Any:
    """Tiles and labels of an extracted set."""
    rows = table("set/tiles.csv")(folder)
    files = sorted((folder / "out" / "set").rglob("*.png"))
    return rows, [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]


def encoder_numbers(folder: Path) -> Any:
    """Architecture and weights of an encoder that was imported."""
    from histonic.encoders.base import load_encoder

    return load_encoder(folder / "out" / "e.safetensors").fingerprint


def cohort(name: str) -> Numbers:
    """Patients, targets and exclusions that a label table gives."""

    def read(folder: Path) -> Any:
        from histonic.core.task import parse_target
        from histonic.data.targets.cohorts import build_cohort, read_labels

        targets = [parse_target(text) for text in TARGETS]
        found = build_cohort(read_labels(folder / name), targets, [f"s{n:02d}" for n in range(24)])
        return repr((found.patients, found.tasks, found.exclusions))

    return read


def trained_on(folder: Path) -> Any:
    """What a training says of its tile sets."""
    facts = json.loads((folder / "out" / "encoder" / "run.json").read_text(encoding="utf-8"))
    return [each["fingerprint"] for each in facts["sets"]], facts["tasks"]


def written(folder: Path) -> Any:
    """Whatever settings made a command write."""
    out = folder / "out"
    if (out / "store").is_dir():
        return maps(folder)
    return tile_set(folder)


@cache
def _pixel_spans(file: Path) -> tuple[tuple[int, int], ...]:
    """Where the compressed pixels of a TIFF lie."""
    with tifffile.TiffFile(file) as tiff:
        return tuple(
            (offset, offset + count)
            for page in tiff.pages
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
        )


def in_tiff_pixels(file: Path, spans: Spans) -> bool:
    """Whether all changes lie in compressed pixels."""
    pixels = _pixel_spans(file)
    return bool(spans) and all(any(a <= start and stop <= b for a, b in pixels) for start, stop in spans)


def of_records(file: Path, spans: Spans) -> bool:
    """Records carry a hash of themselves; what else lies in a set of tiles does not."""
    return file.suffix != ".json" and of_images(file, spans)


def in_dicom_pixels(file: Path, spans: Spans) -> bool:
    """Whether all changes lie in the pixels, which are not compressed and end the file."""
    begin = file.read_bytes().find(b"\xe0\x7f\x10\x00") + 12
    return bool(spans) and all(begin <= start for start, _ in spans)


def everywhere(file: Path, spans: Spans) -> bool:
    """Plain values: the format has no checksum at all."""
    return True


def of_images(file: Path, spans: Spans) -> bool:
    """PNG has checksums, JPEG and tables have none; nor has a folder of which a file is gone."""
    return not spans or file.suffix not in (".png", ".json", ".safetensors")


TARGETS = ("grade:multiclass", "score:regression", "os:survival:os_months,os_event")
BYTES: tuple[Damage, ...] = (damage_bytes, damage_bytes, damage_bytes, splice)
TIFF: tuple[Damage, ...] = (damage_bytes, damage_bytes, splice, formats.damage_tag, formats.damage_tag)
COMPRESS = ("compress", "--encoder", "colour", "--out", "out/store", "--device", "cpu", "--mpp", "0.5")
LABELS = ("doctor", "--labels")
ASK = tuple(word for target in TARGETS for word in ("--target", target))
TRAIN = (
    *("encoder", "train", "--out", "out/encoder", "--tiles", "damaged/set", "--mpp-of-tiles", "0.5"),
    *("--mpp", "0.5", "--tile-px", "32", "--code-size", "4", "--steps", "1", "--max-epochs", "1"),
    *("--batch", "4", "--augment", "none", "--device", "cpu", "--precision", "32", "--trunk", "tellez2019"),
)
EXTRACT = ("tiles", "extract", "--out", "out/set", "--tile-px", "64", "--mpp", "0.5", "shared/slide.tif")
CUT_AGAIN = (
    *("tiles", "extract", *(f"shared/slides/s0{number}.tif" for number in range(6))),
    *("--tile-px", "64", "--mpp", "0.5", "--val-share", "0.2", "--test-share", "0.2"),
    *("--max-per-class-per-slide", "3"),
)


def _slide(folder: str, file: str, damages: Sequence[Damage], blind: Any, *more: str) -> Case:
    return Case(folder, (*COMPRESS, *more, f"damaged/{file}"), maps, tuple(damages), blind)


def _labels(folder: str, file: str, damages: Sequence[Damage]) -> Case:
    words = (*LABELS, f"damaged/{file}", *ASK)
    return Case(folder, words, cohort(f"damaged/{file}"), tuple(damages), everywhere)


def _bundle(folder: str) -> Case:
    words = ("predict", "damaged/bundle", "shared/store", "--out", "out/p.csv", "--device", "cpu")
    damages = (
        damage_bytes,
        mix_members,
        formats.damage_json,
        formats.damage_json,
        formats.damage_safetensors,
    )
    return Case(folder, words, table("p.csv"), damages)


def _tiles(folder: str, *damages: Damage, blind: Any = of_images) -> Case:
    return Case(folder, TRAIN, trained_on, (damage_bytes, mix_members, splice, *damages), blind)


KINDS: dict[str, tuple[Case, ...]] = {
    "svs-jpeg": (_slide("svs-jpeg", "slide.svs", TIFF, in_tiff_pixels),),
    "svs-jpeg2000": (_slide("svs-jpeg2000", "slide.svs", TIFF, in_tiff_pixels),),
    "pyramid": (_slide("pyramid", "slide.tif", TIFF, in_tiff_pixels),),
    "picture": (
        Case("tiles-folder", TRAIN, trained_on, BYTES, of_images),
        Case("tiles-jpg", TRAIN, trained_on, BYTES, of_images),
        Case("mask", (*EXTRACT, "--annotations", "damaged/slide.png"), tile_set, BYTES),
        Case("mask", (*COMPRESS, "--masks", "damaged", "shared/slide.tif"), maps, BYTES),
    ),
    "dicom": (_slide("dicom", "slide.dcm", BYTES, in_dicom_pixels),),
    "csv": (_labels("csv", "labels.csv", (damage_bytes, formats.damage_lines, formats.damage_lines)),),
    "tsv": (_labels("tsv", "labels.tsv", (damage_bytes, formats.damage_lines, formats.damage_lines)),),
    "xlsx": (_labels("xlsx", "labels.xlsx", (damage_bytes, formats.damage_zip, formats.damage_zip)),),
    "parquet": (_labels("parquet", "labels.parquet", BYTES),),
    "yaml": (
        Case(
            "yaml",
            ("compress", "--config", "damaged/compress.yaml"),
            written,
            (damage_bytes, formats.damage_yaml),
            everywhere,
        ),
        Case(
            "yaml-doctor",
            ("doctor", "--config", "damaged/doctor.yaml"),
            lambda folder: 0,
            (formats.damage_yaml,),
        ),
        Case(
            "yaml-tiles",
            ("tiles", "extract", "--config", "damaged/tiles.yaml"),
            written,
            (formats.damage_yaml,),
        ),
    ),
    "store": (
        Case(
            "store",
            ("predict", "shared/run/bundle", "damaged/store", "--out", "out/p.csv", "--device", "cpu"),
            table("p.csv"),
            (damage_bytes, mix_members, splice, formats.damage_json, formats.damage_json),
        ),
    ),
    "bundle": (_bundle("bundle"), _bundle("bundle-survival")),
    "encoder": (
        Case(
            "encoder",
            ("compress", "shared/slide.tif", "--encoder", "damaged/encoder.safetensors", *COMPRESS[3:]),
            maps,
            (damage_bytes, formats.damage_safetensors),
        ),
        Case(
            "encoder-colour",
            ("compress", "shared/slide.tif", "--encoder", "damaged/encoder.safetensors", *COMPRESS[3:]),
            maps,
            (damage_bytes, formats.damage_safetensors, formats.damage_safetensors),
        ),
    ),
    "h5": (
        Case(
            "h5",
            ("encoder", "import", "damaged/encoder_fuzzed.h5", "--out", "out/e.safetensors"),
            encoder_numbers,
            (damage_bytes, formats.damage_h5, formats.damage_h5),
            everywhere,
        ),
    ),
    "geojson": (
        Case(
            "geojson",
            (*EXTRACT, "--annotations", "damaged/slide.geojson"),
            tile_set,
            (damage_bytes, formats.damage_json, formats.damage_json),
            everywhere,
        ),
        Case(
            "geojson",
            (*COMPRESS, "--masks", "damaged", "shared/slide.tif"),
            maps,
            (damage_bytes, formats.damage_json, formats.damage_json),
            everywhere,
        ),
    ),
    "asap": (
        Case(
            "asap",
            (*EXTRACT, "--annotations", "damaged/slide.xml"),
            tile_set,
            (damage_bytes, formats.damage_xml, formats.damage_xml),
            everywhere,
        ),
    ),
    "tileset": (
        _tiles("tiles-folder"),
        _tiles("tiles-table", formats.damage_lines),
        _tiles("tiles-extracted", formats.damage_lines, formats.damage_yaml),
        _tiles("tiles-pcam", formats.damage_h5, formats.damage_h5, blind=everywhere),
    ),
    "extracted": (
        Case(
            "tiles-extracted",
            (*CUT_AGAIN, "--annotations", "shared/annotations", "--out", "damaged/set"),
            lambda folder: table("../damaged/set/tiles.csv")(folder),
            (damage_bytes, mix_members, formats.damage_json, formats.damage_json),
            of_records,
        ),
    ),
    "run": (
        Case(
            "run",
            ("compare", "damaged/run", "shared/other-run", "--out", "out"),
            comparison,
            (damage_bytes, mix_members, formats.damage_json, formats.damage_json, formats.damage_lines),
            of_images,
        ),
    ),
}
