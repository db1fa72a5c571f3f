"""The folder of an extracted tile set: a record for each slide, tiles.csv and set.yaml."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image
from typing_extensions import TypedDict  # comes with pydantic, which wants it of Python 3.11

from histonic.core.documents import is_changed, parse_part, read_values, sealed
from histonic.core.errors import SettingsError
from histonic.core.files import csv_text, replacing_file, write_json, write_text
from histonic.core.units import Number
from histonic.data.tilesets.listing import is_inside
from histonic.stages.tiles.choice import Cut
from histonic.stages.tiles.settings import ExtractSettings

TABLE = "tiles.csv"
DECLARATION = "set.yaml"
RECORDS = ".slides"
UNLABELLED_FOLDER = "tissue"
COLUMNS = ("path", "label", "split", "group", "slide", "x", "y", "side", "mpp", "share")
# The size on disk falls by a tenth above this, and the time to write doubles.
PNG_COMPRESSION = 4


ANEW = "Delete the folder and cut the tiles again."


class TileRow(TypedDict):
    """A tile in the record of its slide."""

    path: str
    label: str
    x: Number
    y: Number
    share: Number | None


@dataclass
class SlideRecord:
    """What the set holds of one slide.

    Attributes:
        slide_id: Name of the slide.
        group: Its patient, or itself.
        made_of: What its tiles depend on: file, mpp, annotations, mask.
        mpp: Microns per pixel at which tiles were read.
        done: False while its tiles are being written.
        tiles: For each tile path, label, x, y, share.
        largest: Largest share of a tile, for each label.
        left_out: Why tiles were not cut, and how many.
        side: Of the tiles, in level-0 pixels; None in records of earlier versions.
    """

    slide_id: str
    group: str
    made_of: dict[str, Any]
    mpp: float
    done: bool = False
    tiles: list[TileRow] = field(default_factory=list)
    largest: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    side: Number | None = None


def _read_slide_record(file: Path) -> SlideRecord:
    """Read a record, whose tiles lie in the set: they are deleted by it.

    Raises:
        SettingsError: It is damaged, of another slide, or names a file elsewhere.
    """
    values = read_values(file, SettingsError, ANEW)
    plain = (
        {key: value for key, value in values.items() if key != "sha256"}
        if isinstance(values, dict)
        else values
    )
    record = parse_part(SlideRecord, plain, file, SettingsError, ANEW)
    if is_changed(values):
        raise SettingsError(f"Read {file}.", "It has changed since it was written.", ANEW)
    if file.name != f"slide-{record.slide_id}.json":
        raise SettingsError(f"Read {file}.", f"It is the record of the slide {record.slide_id!r}.", ANEW)
    for tile in record.tiles:
        if not is_inside(tile["path"]):
            raise SettingsError(
                f"Read {file}.", f"It names the tile {tile['path']!r}, outside of the set.", ANEW
            )
    return record


class TileFolder:
    """A tile set on the disk.

    Args:
        folder: Where it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def require_own(self, settings: ExtractSettings) -> None:
        """Refuse a folder whose tiles were cut by other settings, or that holds another set.

        Raises:
            SettingsError: Which settings differ.
        """
        asked = f"Cut tiles into {self.folder}."
        if not (self.folder / RECORDS).is_dir():
            if (self.folder / TABLE).exists() or (self.folder / DECLARATION).exists():
                raise SettingsError(
                    asked, "It holds a tile set that was not made by this command.", "Choose another --out."
                )
            return
        file = self.folder / RECORDS / "settings.json"
        before, now = (
            read_values(file, SettingsError, ANEW) if file.is_file() else None,
            deciding(settings),
        )
        if isinstance(before, dict):  # what earlier versions could not be told
            before = {**deciding(ExtractSettings(out=settings.out)), **before}
        changed = [] if before is None else sorted(key for key in now if before.get(key) != now[key])
        if changed and before is not None:
            key = changed[0]
            raise SettingsError(
                asked,
                f"Its tiles were cut with {key} = {before.get(key)!r}, not {now[key]!r}.",
                "Use that again, choose another --out, or delete the folder.",
            )

    def begin(self, settings: ExtractSettings) -> None:
        """Note the settings that decide what is cut."""
        write_json(self.folder / RECORDS / "settings.json", deciding(settings))

    def read_record(self, slide_id: str) -> SlideRecord | None:
        """Read the record of a slide, None if there is none."""
        file = self._record_file(slide_id)
        if not file.is_file():
            return None
        return _read_slide_record(file)

    def read_records(self) -> list[SlideRecord]:
        """Read the records of all finished slides, sorted by name."""
        files = sorted((self.folder / RECORDS).glob("slide-*.json"))
        read = [_read_slide_record(file) for file in files]
        return sorted((each for each in read if each.done), key=lambda each: each.slide_id)

    def keep(self, record: SlideRecord) -> None:
        """Write a record."""
        write_json(self._record_file(record.slide_id), sealed(vars(record)))

    def forget(self, slide_id: str) -> None:
        """Remove a slide's tiles and then its record."""
        record = self.read_record(slide_id)
        for tile in record.tiles if record else ():
            (self.folder / tile["path"]).unlink(missing_ok=True)
        self._record_file(slide_id).unlink(missing_ok=True)

    def _record_file(self, slide_id: str) -> Path:
        return self.folder / RECORDS / f"slide-{slide_id}.json"

    def rows_of(self, cuts: Sequence[Cut], slide_id: str) -> list[TileRow]:
        """Where each tile goes, and what is known of it."""
        return [
            {
                "path": f"{folder_of(cut.label)}/{slide_id}_{round(cut.xy.x)}_{round(cut.xy.y)}.png",
                "label": cut.label,
                "x": _plain(cut.xy.x),
                "y": _plain(cut.xy.y),
                "share": cut.share,
            }
            for cut in cuts
        ]

    def write_tile(self, path: str, tile: npt.NDArray[np.uint8]) -> None:
        """Write one tile, uint8 ``(h, w, 3)``, as PNG."""
        buffer = io.BytesIO()
        Image.fromarray(tile).save(buffer, "PNG", compress_level=PNG_COMPRESSION)
        with replacing_file(self.folder / path) as partial:
            partial.write_bytes(buffer.getvalue())

    def finish(
        self, settings: ExtractSettings, splits: Mapping[str, str], failures: Sequence[Mapping[str, str]]
    ) -> Counter[tuple[str, str]]:
        """Write tiles.csv and set.yaml of all finished slides.

        Args:
            settings: Of the extraction.
            splits: Split of each group.
            failures: Slides that failed, for the declaration.

        Returns:
            Number of tiles of each label and split, sorted.
        """
        records = self.read_records()
        labelled = settings.is_labelled
        columns = [name for name in COLUMNS if labelled or name not in ("label", "share")]
        rows: list[list[Any]] = []
        counts: Counter[tuple[str, str]] = Counter()
        for record in records:
            common = {"split": splits[record.group], "group": record.group, "slide": record.slide_id}
            side = None if record.side is None else round(record.side, 3)
            for tile in record.tiles:
                cells = {**tile, **common, "side": side, "mpp": record.mpp}
                rows.append([cells.get(name) for name in columns])
                counts[tile["label"], common["split"]] += 1
        write_text(self.folder / TABLE, csv_text(columns, rows))
        write_text(self.folder / DECLARATION, _declaration(settings, by_label(counts), records, failures))
        return counts


def by_label(counts: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Number of tiles of each label, sorted, over all splits.

    Example:
        >>> by_label({("b", "train"): 3, ("a", "train"): 1, ("b", "val"): 2})
        {'a': 1, 'b': 5}
    """
    names = sorted({label for label, _ in counts})
    return {name: sum(count for (label, _), count in counts.items() if label == name) for name in names}


def deciding(settings: ExtractSettings) -> dict[str, Any]:
    """The settings that decide which tiles are cut; the others only say from where, or how they are used."""
    others = {"slides", "sheet", "out", "val_share", "test_share", "licence", "reader", "slide_mpp", "names"}
    values = settings.model_dump(mode="json", exclude=others | {"only", "image_columns"})
    given = {key: getattr(settings, key) is not None for key in ("annotations", "image_labels")}
    return {**values, **given}


def folder_of(label: str) -> str:
    """Name of the folder for a label.

    Example:
        >>> folder_of("Tumor: Positive"), folder_of("")
        ('Tumor_Positive', 'tissue')
    """
    return re.sub(r"[^\w.+-]+", "_", label).strip("._") or (UNLABELLED_FOLDER if not label else "_")


def require_own_folders(labels: Iterable[str]) -> None:
    """Refuse labels that would share a folder, also where upper and lower case are the same.

    Raises:
        SettingsError: Which labels.
    """
    first_labels: dict[str, str] = {}
    for label in sorted(set(labels)):
        first = first_labels.setdefault(folder_of(label).lower(), label)
        if first != label:
            raise SettingsError(
                f"Cut tiles of the label {label!r}.",
                f"Its folder would be that of {first!r}.",
                "Give one of them another label: --labels 'FOUND=LABEL'.",
            )


def _plain(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _declaration(
    settings: ExtractSettings,
    counts: Mapping[str, int],
    records: Sequence[SlideRecord],
    failures: Sequence[Mapping[str, str]],
) -> str:
    labelled = settings.is_labelled
    kind = {"kind": "binary" if len(counts) == 2 else "multiclass"} if labelled else {}
    values = {
        **kind,
        **({"classes": list(counts)} if labelled else {}),
        "mpp": settings.mpp,
        "tile_px": settings.tile_px,
        "licence": settings.licence,
        "tiles": dict(counts) if labelled else sum(counts.values()),
        "slides": len(records),
        "failed": list(failures),
        "settings": deciding(settings),
    }
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
