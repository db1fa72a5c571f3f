"""The page ``python -m histonic.testing.slides FILES --out page.html``: slides by histonic and by OpenSlide.

Made for slides of scanners that could not be tried here: the page holds what is needed to find a fault, and
neither label nor macro pictures, nor header fields that could name a patient. Look at its pictures before
you send it.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import html
import io
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import openslide
from PIL import Image

from histonic.core.errors import HistonicError
from histonic.core.files import write_text
from histonic.data.tables.slide_lists import find_slides
from histonic.testing.comparisons import Comparison, Pictures, UInt8Image, compare_with_pictures

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Slides by histonic and by OpenSlide</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; margin: .5rem 0; }}
td {{ border-bottom: 1px solid #ccc; padding: .2rem .7rem .2rem 0; vertical-align: top; }}
img {{ max-width: 48%; border: 1px solid #ccc; margin-right: 1%; }} section {{ margin: 2.5rem 0; }}
</style>
<h1>Slides by histonic and by OpenSlide</h1>
<p>{made}. No label or macro picture and no free text of a header is on this page; what is paler in the
pictures was not taken for tissue. {shown}</p>
{summary}
{slides}
<script type="application/json" id="comparisons">{values}</script>
</html>
"""


def write_page(
    paths: Sequence[Path],
    out: Path,
    *,
    mpp: float | None = None,
    hash_names: bool = False,
    pictures: bool = True,
) -> list[Comparison]:
    """Compare files and write the page, which loads nothing from elsewhere.

    Args:
        paths: The files.
        out: The page.
        mpp: Microns per pixel where a header does not say.
        hash_names: Put the first digits of a hash in the place of each file name.
        pictures: Show the slides.

    Raises:
        OutputError: The page cannot be written.
    """
    found = []
    sections = []
    for path in paths:
        name = hashlib.sha256(path.name.encode()).hexdigest()[:12] if hash_names else path.name
        comparison, seen = compare_with_pictures(path, mpp, name)
        found.append(comparison)
        sections.append(_section(comparison, seen if pictures else Pictures()))
    packages = ("histonic", "openslide-python", "tifffile", "imagecodecs", "pillow", "numpy")
    made = ", ".join(f"{package} {version(package)}" for package in packages)
    made += f", OpenSlide {openslide.__library_version__}, Python {platform.python_version()}"
    made += f", {platform.system()}"
    values = json.dumps([asdict(each) for each in found], ensure_ascii=True).replace("<", "\\u003c")
    write_text(
        out,
        PAGE.format(
            made=html.escape(made),
            shown="Look at them before you send the page: a slide itself may bear writing."
            if pictures
            else "",
            summary=_table([("file", "outcome"), *((each.name, each.verdict) for each in found)]),
            slides="\n".join(sections),
            values=values,
        ),
    )
    return found


def _section(found: Comparison, pictures: Pictures) -> str:
    facts = [
        (
            "file",
            f"{found.size_bytes:,} bytes, {found.ending or 'no ending'}, begins with {found.first_bytes}",
        ),
        ("histonic", _lines(found.ours)),
        ("OpenSlide", _lines(found.theirs)),
        ("tissue", _lines(found.tissue)),
        ("findings", "\n".join(found.findings) or "none"),
    ]
    pixels = [
        (f"{each.wh[0]} x {each.wh[1]}", each.regions, f"{each.equal:.2%}", each.mean, each.most)
        for each in found.levels
    ]
    header = ("level", "regions", "pixels equal", "mean difference", "largest")
    shown = "".join(
        f'<img alt="{who}" title="{who}" src="data:image/jpeg;base64,{_jpeg(picture)}">'
        for who, picture in (("histonic", pictures.ours), ("OpenSlide", pictures.theirs))
        if picture is not None
    )
    return (
        f"<section><h2>{html.escape(found.name)}: {found.verdict}</h2>{shown}{_table(facts)}"
        f"{_table([header, *pixels]) if pixels else ''}</section>"
    )


def _lines(facts: Mapping[str, Any]) -> str:
    said = ((key, ", ".join(value) if isinstance(value, list) else value) for key, value in facts.items())
    return "\n".join(f"{key}: {value}" for key, value in said if value != "")


def _table(rows: Sequence[Sequence[Any]]) -> str:
    cells = (
        "".join(f"<td>{html.escape(str(cell)).replace(chr(10), '<br>')}</td>" for cell in row) for row in rows
    )
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"


def _jpeg(picture: UInt8Image) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=75)
    return base64.b64encode(buffer.getvalue()).decode()


def main(words: Sequence[str] | None = None) -> int:
    """Read the command line and write the page; 1 where a file is not seen alike."""
    parser = argparse.ArgumentParser(prog="python -m histonic.testing.slides", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="slide files or folders")
    parser.add_argument("--out", type=Path, required=True, help="the page, such as page.html")
    parser.add_argument("--mpp", type=float, help="microns per pixel of slides whose header does not say")
    parser.add_argument("--hash-names", action="store_true", help="hash file names")
    parser.add_argument("--no-pictures", action="store_true", help="numbers only")
    given = parser.parse_args(words)
    paths = [each for path in given.files for each in (find_slides(path) if path.is_dir() else [path])]
    try:
        found = write_page(
            paths, given.out, mpp=given.mpp, hash_names=given.hash_names, pictures=not given.no_pictures
        )
    except HistonicError as error:
        print(error, file=sys.stderr)
        return 2
    for each in found:
        print(f"{each.name}: {each.verdict}" + "".join(f"\n    {line}" for line in each.findings))
    print(f"Page: {given.out}")
    return 0 if all(each.verdict in ("same", "nearly the same") for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
