"""Detection, segmentation and field sets brought into one pool of tile classification tasks.

How Mormont, Geurts and Marée (IEEE JBHI 2021) made 22 tasks of sets of different kinds: a tile around each
object, tiles that hold enough of a class, fields cut into tiles; classes balanced, related sets named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import yaml

from histonic.core.errors import SettingsError, TableError, TileSetError
from histonic.core.files import csv_text, require_writable_folder, write_text
from histonic.core.notebooks.results import Result
from histonic.core.places.urls import Place
from histonic.core.progress import Progress, heard
from histonic.core.settings import resolve
from histonic.data.tables.files import TextTable, read_table
from histonic.data.tables.issues import list_names
from histonic.data.tables.slide_lists import read_slide_list
from histonic.data.tilesets.listing import SPLITS
from histonic.stages.encoder.settings import PoolKeywords, PoolSettings, SourceSettings
from histonic.stages.tiles.extract import ExtractResult, extract_tiles
from histonic.stages.tiles.groups import split_groups

POOL, PAGE, CUT = "pool.yaml", "pool.md", "cut"
"""Names in the folder of a pool."""
FEWEST_GROUPS = 4
"""Groups below which none is held out."""
COLUMNS = ("path", "label", "split", "group", "slide", "x", "y", "side", "mpp")
Rows = list[dict[str, str]]


@dataclass(repr=False)
class PoolResult(Result):
    """What a pool holds.

    Attributes:
        out: Its folder.
        config: The YAML file for ``histonic encoder train --config``.
        tiles: Task -> split -> class -> tiles; of kind ``tiles`` nothing, as none were cut.
        notes: What was left out, and what a reader should know, by task.
        failures: Images that could not be cut: task, image, reason.
    """

    out: Path
    config: Path
    tiles: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    failures: list[tuple[str, str, str]] = field(default_factory=list)


def make_pool(
    settings: PoolSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[PoolKeywords],
) -> PoolResult:
    """Cut tiles of every source, balance their classes, and write the settings that train on all of them.

    Images that were cut before are skipped, so the same command resumes after an interruption.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``sources=[...]``, ``out="pool"``.

    Returns:
        Counts and notes; in the folder ``pool.yaml`` (for ``encoder train --config``), ``pool.md`` (the
        table), for each source ``NAME.csv`` and its tiles below ``cut/NAME``.

    Raises:
        SettingsError: A source lacks what its kind needs, or two share a name.
        TableError: The table of fields cannot be used.
        TileSetError: A source gives no tile, or tiles of one class only.
        OutputError: The pool cannot be written.
    """
    resolved = resolve(PoolSettings, settings, values)
    listener = heard(progress)
    for source in resolved.sources:
        _require_complete(source)
    names = [source.name for source in resolved.sources]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError("Read 'sources'.", f"Two are named {twice[0]!r}.", "Give each its own name.")
    require_writable_folder(resolved.out)
    result = PoolResult(resolved.out, resolved.out / POOL)
    cut = {each.name: _cut(each, resolved, result, listener) for each in resolved.sources if each.set is None}
    share_splits(cut, resolved)
    declared = []
    for source in resolved.sources:
        if source.set is not None:
            declared.append(_given(source))
            continue
        rows = cut[source.name]
        kept = balance(rows, resolved.largest_class, resolved.seed)
        _count(source, rows, kept, result)
        own = [[row.get(name, "") for name in COLUMNS] for row in kept]
        write_text(resolved.out / f"{source.name}.csv", csv_text(COLUMNS, own))
        declared.append(_declared(source, resolved))
    config = {
        "objective": "multitask",
        "tile_px": resolved.tile_px,
        "mpp": resolved.mpp,
        **({"random_crop": resolved.room} if resolved.room > 1 else {}),
        "sets": declared,
    }
    write_text(result.config, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    write_text(resolved.out / PAGE, pool_table(resolved, result))
    return result


def _require_complete(source: SourceSettings) -> None:
    """Refuse a source that lacks what its kind needs, or says what its kind has not.

    Raises:
        SettingsError: Names the source and the key.
    """
    needs = {
        "detection": ("images", "annotations"),
        "segmentation": ("images", "annotations"),
        "fields": ("images", "table"),
        "tiles": ("set",),
    }[source.kind]
    asked = f"Make tiles of the source {source.name!r}, of the kind {source.kind}."
    for key in needs:
        if not getattr(source, key):
            raise SettingsError(
                asked, f"{key!r} is missing.", f"A source of that kind has {', '.join(needs)}."
            )
    for key in {"images", "annotations", "table", "set"} - set(needs):
        if getattr(source, key):
            raise SettingsError(asked, f"It has {key!r}.", f"A source of that kind has {', '.join(needs)}.")
    if source.kind == "detection" and source.background_label is None and len(source.labels) < 2:
        raise SettingsError(
            asked,
            "It has neither a background nor two classes.",
            "Give background_label, the class of tissue without objects, or two classes under 'labels'.",
        )


def _cut(source: SourceSettings, settings: PoolSettings, result: PoolResult, progress: Progress) -> Rows:
    """Tiles of a source, and where they lie."""
    folder = settings.out / CUT / source.name
    values: dict[str, Any] = {
        "slides": source.images,
        "out": folder,
        "tile_px": round(settings.room * settings.tile_px),
        "mpp": settings.mpp,
        "slide_mpp": source.mpp,
        "most_enlargement": settings.most_enlargement,
        "stride_px": source.stride_px,
        "max_per_class_per_slide": source.most_per_image,
        "group_pattern": source.group_pattern,
        "licence": source.licence,
        "seed": settings.seed,
    }
    if source.kind != "fields":
        values |= {
            "annotations": source.annotations,
            "labels": source.labels,
            "background_label": source.background_label,
            "min_share": source.min_share,
        }
    found: ExtractResult = extract_tiles(**values, progress=progress)
    result.failures += [(source.name, each.path, each.reason) for each in found.failures]
    result.notes[source.name] = list(found.notes)
    table = read_table(folder / "tiles.csv")
    listed = read_slide_list(source.images)
    image = {each.slide_id: _place(each.path) for each in listed}
    rows = [
        {**{str(key): str(value) for key, value in row.items()}, "split": ""}
        for row in table.frame.to_dict(orient="records")
    ]
    if dropped := {row["slide"] for row in rows} - set(image):
        result.notes[source.name].append(f"{len(dropped)} image(s) of an earlier call are left out")
    rows = [row for row in rows if row["slide"] in image]
    for row in rows:
        row["image"] = image[row["slide"]]
    if source.kind == "fields":
        rows = _labelled(rows, source, settings, result)
    for row in rows:
        row["path"] = f"{CUT}/{source.name}/{row['path']}"
    classes = {row["label"] for row in rows}
    if len(classes) < 2:
        raise TileSetError(
            f"Make a task of the source {source.name!r}.",
            f"Its {len(rows)} tiles are of {len(classes)} class(es): {list_names(sorted(classes))}.",
            "A task needs two: correct 'labels', give background_label, or lower min_share.",
        )
    return rows


def _place(path: Place) -> str:
    """Where an image is, the same in all sources that name it."""
    return str(path.absolute()) if isinstance(path, Path) else str(path)


def _labelled(rows: Rows, source: SourceSettings, settings: PoolSettings, result: PoolResult) -> Rows:
    """Tiles of fields with the label, group and split of their image.

    Raises:
        TableError: A column is absent, an image is not in the table, or stands there twice.
    """
    if source.table is None:
        raise TypeError("a source of fields has a table")
    table = read_table(source.table)
    asked = f"Label the tiles of the source {source.name!r} by {source.table}."
    for column in (source.file_column, source.label_column):
        if column not in table.columns:
            raise TableError(
                asked,
                f"There is no column {column!r}; its columns are {list_names(table.columns)}.",
                "Name them: file_column and label_column.",
            )
    known = _images(table, source, asked)
    absent = sorted({row["slide"] for row in rows} - set(known))
    if absent:
        raise TableError(
            asked,
            f"{len(absent)} image(s) are not in it, such as {absent[0]!r}.",
            f"Add them, or correct the column {source.file_column!r} (the file, with or without folder).",
        )
    labelled = [
        {**row, "label": known[row["slide"]]["label"]} for row in rows if known[row["slide"]]["label"]
    ]
    if bare := len(rows) - len(labelled):
        result.notes[source.name].append(f"{bare} tiles of images without a label are left out")
    return [
        {**row, "group": each["group"] or row["slide"], "split": each["split"]}
        for row in labelled
        for each in (known[row["slide"]],)
    ]


def _images(table: TextTable, source: SourceSettings, asked: str) -> dict[str, dict[str, str]]:
    """By image, without folder and ending, its label, group and split as the table has them."""
    known: dict[str, dict[str, str]] = {}
    for number, row in table.frame.iterrows():
        name = Path(str(row[source.file_column])).stem
        if name in known:
            raise TableError(asked, f"The image {name!r} stands there twice (row {number}).", "Keep one row.")
        split = str(row.get("split", "")).strip().lower()
        if split and split not in SPLITS:
            raise TableError(asked, f"The split of row {number} is {split!r}.", "Write train, val or test.")
        known[name] = {
            "label": str(row[source.label_column]).strip(),
            "group": str(row.get(source.group_column, "")).strip(),
            "split": SPLITS.get(split, ""),
        }
    return known


def share_splits(cut: Mapping[str, Rows], settings: PoolSettings) -> None:
    """Give every tile a split, of its table or drawn; what shares an image or a patient stays together.

    Sources may be made of the same images: an image that one task trains on must not be held out in another.

    Args:
        cut: Source -> tiles with ``group``, ``image`` and ``split`` (empty: to be drawn); filled in place.
        settings: Shares and seed.

    Raises:
        TileSetError: Tables give tiles that belong together different splits.
    """
    above: dict[tuple[str, ...], tuple[str, ...]] = {}

    def top(node: tuple[str, ...]) -> tuple[str, ...]:
        while (over := above.setdefault(node, node)) != node:
            node = over
        return node

    for name, rows in cut.items():
        for row in rows:
            one, other = sorted((top(("group", name, row["group"])), top(("image", row["image"]))))
            above[other] = one
    given: dict[tuple[str, ...], str] = {}
    for name, rows in cut.items():
        for row in rows:
            own = top(("image", row["image"]))
            if row["split"] and given.setdefault(own, row["split"]) != row["split"]:
                raise TileSetError(
                    f"Split the pool, with the source {name!r}.",
                    f"The image {row['image']} is {row['split']} in its table, and {given[own]} in another, "
                    "or by another image of its patient.",
                    "Give images of one patient the same split in all tables.",
                )
    # Drawn apart for what is of the same sources, so that no source is left without a split.
    sources: dict[str, set[str]] = {}
    for name, rows in cut.items():
        for row in rows:
            own = top(("image", row["image"]))
            if own not in given:
                sources.setdefault("\0".join(own), set()).add(name)
    drawn: dict[str, str] = {}
    for signature in sorted({tuple(sorted(each)) for each in sources.values()}):
        alike = sorted(name for name, each in sources.items() if tuple(sorted(each)) == signature)
        drawn |= _drawn(alike, settings)
    for rows in cut.values():
        for row in rows:
            own = top(("image", row["image"]))
            row["split"] = given.get(own) or drawn["\0".join(own)]


def _drawn(groups: Sequence[str], settings: PoolSettings) -> dict[str, str]:
    """Splits of groups; of too few for three splits all train."""
    if len(groups) < FEWEST_GROUPS:
        return dict.fromkeys(groups, "train")
    return split_groups(
        groups, val_share=settings.val_share, test_share=settings.test_share, seed=settings.seed
    )


def balance(rows: Sequence[Mapping[str, str]], largest: float, seed: int) -> Rows:
    """At most so many tiles of a class as the smallest of its split allows, from all images alike.

    Args:
        rows: Tiles with ``label``, ``split`` and ``slide``.
        largest: Tiles of a class, times those of the smallest of the split.
        seed: Of what is drawn.

    Returns:
        The tiles that are kept, in their order.

    Example:
        >>> many = [{"label": "a", "split": "train", "slide": str(n % 2)} for n in range(8)]
        >>> few = [{"label": "b", "split": "train", "slide": "0"}] * 2
        >>> [each["label"] for each in balance([*many, *few], 2.0, 0)]
        ['a', 'a', 'a', 'a', 'b', 'b']
    """
    counts = Counter((row["split"], row["label"]) for row in rows)
    kept: list[int] = []
    for (split, label), count in sorted(counts.items()):
        smallest = min(number for (other, _), number in counts.items() if other == split)
        own = [n for n, row in enumerate(rows) if (row["split"], row["label"]) == (split, label)]
        most = min(count, int(largest * smallest))
        kept += own if most == count else _from_all(own, [rows[n]["slide"] for n in own], most, seed)
    return [dict(rows[number]) for number in sorted(kept)]


def _from_all(own: Sequence[int], images: Sequence[str], most: int, seed: int) -> list[int]:
    """So many rows, one of each image in turn, so that no image gives more than its share."""
    rng = np.random.default_rng([seed, len(own), 37])
    order = rng.permutation(len(own))
    turn: Counter[str] = Counter()
    rank = {}
    for number in order:
        rank[int(number)] = turn[images[number]]
        turn[images[number]] += 1
    chosen = sorted(order.tolist(), key=lambda number: rank[number])[:most]
    return [own[number] for number in chosen]


def _count(source: SourceSettings, rows: Rows, kept: Rows, result: PoolResult) -> None:
    """Note what a source gives, and what balancing left out."""
    found: dict[str, dict[str, int]] = {}
    for row in kept:
        split = found.setdefault(row["split"], {})
        split[row["label"]] = split.get(row["label"], 0) + 1
    result.tiles[source.name] = {
        split: dict(sorted(found[split].items())) for split in ("train", "val", "test") if split in found
    }
    if len(kept) < len(rows):
        result.notes[source.name].append(f"{len(rows) - len(kept)} tiles left out to balance the classes")


def _given(source: SourceSettings) -> dict[str, Any]:
    """What ``pool.yaml`` says of a tile set that was there already."""
    if source.set is None:
        raise TypeError("a source of tiles has a set")
    plain = source.set.model_dump(mode="json", exclude_defaults=True)
    own = {**plain, "name": source.name, "path": str(source.set.path.absolute())}
    return {**own, **({"related": source.related} if source.related else {})}


def _declared(source: SourceSettings, settings: PoolSettings) -> dict[str, Any]:
    """What ``pool.yaml`` says of a source that was cut."""
    return {
        "name": source.name,
        "path": str((settings.out / f"{source.name}.csv").absolute()),
        "mpp": settings.mpp,
        "licence": source.licence,
        **({"related": source.related} if source.related else {}),
    }


def pool_table(settings: PoolSettings, result: PoolResult) -> str:
    """The pool as a Markdown table: a line a task."""
    head = ("task", "kind", "related", "classes", "train", "val", "test", "licence")
    lines = [f"| {' | '.join(head)} |", "| --- |" + " --- |" * (len(head) - 1)]
    for source in settings.sources:
        tiles = result.tiles.get(source.name, {})
        classes = sorted({label for each in tiles.values() for label in each})
        told = [_told(tiles.get(split, {})) for split in ("train", "val", "test")]
        licence = source.set.licence if source.set is not None else source.licence
        cells = (source.name, source.kind, source.related, ", ".join(classes), *told, licence)
        lines.append(f"| {' | '.join(cells)} |")
    notes = [f"- {name}: {note}" for name, each in result.notes.items() for note in each]
    failed = [f"- {name}: {image} could not be cut: {reason}" for name, image, reason in result.failures]
    words = (
        f"Tiles of {settings.tile_px} px at {settings.mpp} µm/px, cut {settings.room:g} times larger for "
        f"random squares; of a class at most {settings.largest_class:g} times the tiles of the smallest of "
        f"its split. Train on all of them: `histonic encoder train --config {result.config} --out ENCODER`."
    )
    return "\n".join(["# Pool of tile classification tasks", "", words, "", *lines, "", *notes, *failed, ""])


def _told(counts: Mapping[str, int]) -> str:
    return " / ".join(str(count) for _, count in sorted(counts.items()))
