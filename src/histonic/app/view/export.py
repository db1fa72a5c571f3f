"""The viewer as a folder of static files, which any web server can show; without notes."""

from __future__ import annotations

import hashlib
import json
import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

from histonic.app.view import answers
from histonic.app.view.cache import ByteCache
from histonic.app.view.content import Described, Viewed
from histonic.app.view.pages import STATIC, static_file
from histonic.app.view.pyramid import Pyramid
from histonic.app.view.settings import ViewSettings
from histonic.app.view.slides import SlidePool, jpeg_of
from histonic.core.documents import read_values
from histonic.core.errors import HistonicError, OutputError, UnreadableSlideError
from histonic.core.files import (
    PARTIAL_PREFIX,
    hash_of,
    output_error,
    remove,
    replacing_file,
    replacing_folder,
    require_writable_folder,
    write_text,
)
from histonic.core.progress import Progress
from histonic.slides.base import fingerprint_file

MARKER = "histonic-view.json"
"""By which a folder is known as an export of the same, so that an interrupted one goes on."""
ENDING = "jpg"


def export(viewed: Viewed, out: Path, settings: ViewSettings, progress: Progress) -> Path:
    """Write all slides as Deep Zoom images, with their layers and the list of cases.

    A slide that an earlier export has finished is kept if it would be written the same again, and replaced if
    not: the run may have been trained or explained anew, or slides have come to hand. Slides that cannot be
    read are left out and said.

    Args:
        viewed: What is exported.
        out: Folder to write.
        settings: How fine, and with how much memory.
        progress: Advances once per slide.

    Returns:
        The page, ``index.html``.

    Raises:
        OutputError: The folder holds something else, or cannot be written.
    """
    out = require_writable_folder(out)
    _claim(out, viewed, settings)
    # The page comes last: it is the sign that all is there, and that all belongs together.
    for path in (out / "index.html", out / "data" / "index.json"):
        _remove(path)
    pool = SlidePool(ByteCache(settings.cache_mb * 1_000_000))
    progress.stage("export", len(viewed.slides))
    try:
        for number, slide in enumerate(viewed.slides):
            folder = out / "data" / "slides" / str(number)
            try:
                described = viewed.described(number)
                if described is not None:
                    made_of = _made_of(described, settings.export_mpp)
                    if _held(folder) != made_of:
                        _write_slide(folder, described, pool, settings.export_mpp, made_of)
            except OutputError:
                raise
            except HistonicError as error:
                _remove(folder)
                progress.say(f"{slide.slide_id}: left out: {error.reason}")
            progress.advance(note=slide.slide_id)
    finally:
        pool.close()
    for name in STATIC:
        _write_bytes(out / "static" / name, static_file(name))
    write_text(out / "data" / "index.json", json.dumps(viewed.index(notes=False), allow_nan=False))
    _write_bytes(out / "index.html", static_file("index.html"))
    return out / "index.html"


def _claim(out: Path, viewed: Viewed, settings: ViewSettings) -> None:
    """Refuse a folder that holds anything but an export of the same slides.

    Raises:
        OutputError: It does.
    """
    wanted = {
        "title": viewed.title,
        "slides": [slide.slide_id for slide in viewed.slides],
        "export_mpp": settings.export_mpp,
    }
    held = [path for path in out.iterdir() if not path.name.startswith(PARTIAL_PREFIX)]
    if held:
        todo = "Give a folder that is new or empty, or delete that one."
        known = (out / MARKER).is_file() and read_values(out / MARKER, OutputError, todo)
        if known != wanted:
            raise OutputError(f"Export to {out}.", "It holds something else already.", todo)
    write_text(out / MARKER, json.dumps(wanted, ensure_ascii=False))


def _skipped(described: Described, finest_mpp: float | None) -> int:
    """Finest levels that are finer than is wanted."""
    if finest_mpp is None or described.mpp is None:
        return 0
    return max(0, math.floor(math.log2(finest_mpp / described.mpp) + 1e-9))


def _made_of(described: Described, finest_mpp: float | None) -> str:
    """Hash of all that decides what is written of a slide.

    Raises:
        HistonicError: A layer or the slide cannot be read.
    """
    source, picture = described.source, described.thumbnail
    try:
        parts = {
            "histonic": version("histonic"),
            "facts": answers.slide_facts(described, ENDING, _skipped(described, finest_mpp)),
            "layers": [_digest([layer.numbers(), layer.tile_box(0, 0)]) for layer in described.layers],
            "slide": source and [fingerprint_file(source.path), source.mpp, source.default_mpp],
            "picture": picture and hash_of(picture),
        }
    except OSError as error:
        raise UnreadableSlideError(
            "Export a slide.",
            f"{error.filename}: {error.strerror or error}.",
            "Look at it, and export again.",
        ) from error
    return _digest(parts)


def _digest(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _held(folder: Path) -> str | None:
    """What the slide that lies in a folder was made of; None if there is none."""
    try:
        found = json.loads((folder / "slide.json").read_text(encoding="utf-8"))["made_of"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return str(found)


def _remove(path: Path) -> None:
    try:
        remove(path)
    except OSError as error:
        raise output_error(path, error) from error


def _write_slide(
    folder: Path, described: Described, pool: SlidePool, finest_mpp: float | None, made_of: str
) -> None:
    """One slide, all or nothing."""
    skipped = _skipped(described, finest_mpp)
    with replacing_folder(folder) as partial:
        pyramid = Pyramid(described.size_wh, skipped)
        if described.source is not None:
            (partial / "tiles.dzi").write_text(pyramid.descriptor(ENDING), encoding="utf-8")
            for level in range(pyramid.last + 1):
                cols, rows = pyramid.tiles(level)
                (partial / "tiles_files" / str(level)).mkdir(parents=True)
                for row in range(rows):
                    for col in range(cols):
                        box = pyramid.box(level, col, row)
                        if box is not None:
                            tile = jpeg_of(pool.tile(described.source, pyramid, box), answers.QUALITY)
                            path = partial / "tiles_files" / str(level) / f"{col}_{row}.{ENDING}"
                            path.write_bytes(tile)
        for name, side in answers.THUMBNAILS_PX.items():
            picture = answers.thumbnail(described, pool, side)
            if picture is not None:
                (partial / f"{name}.jpg").write_bytes(picture)
        for number, layer in enumerate(described.layers):
            _write_layer(partial / "layers", number, layer.numbers(), described, pool)
        facts = answers.slide_facts(described, ENDING, skipped) | {"made_of": made_of}
        (partial / "slide.json").write_text(json.dumps(facts, allow_nan=False), encoding="utf-8")


def _write_layer(
    folder: Path, number: int, numbers: dict[str, Any], described: Described, pool: SlidePool
) -> None:
    (folder / str(number)).mkdir(parents=True)
    (folder / f"{number}.json").write_text(json.dumps(numbers, allow_nan=False), encoding="utf-8")
    for row, col, _ in (*numbers["most"], *numbers["least"]):
        picture = answers.cell_picture(described, pool, number, row, col)
        if picture is not None:
            (folder / str(number) / f"{row}_{col}.jpg").write_bytes(picture)


def _write_bytes(path: Path, content: bytes) -> None:
    with replacing_file(path) as partial:
        try:
            partial.write_bytes(content)
        except OSError as error:
            raise output_error(path, error) from error
