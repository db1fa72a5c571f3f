"""Draw docs/report.png and docs/explanation.png from a demo folder, after `histonic explain RUN`.

python docs/make_pages_pictures.py histonic-demo --browser chromium
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parent
WIDTH, MOST_BYTES = 1000, 300_000


def keep(picture: Image.Image, name: str) -> None:
    """Save a picture in few colours, small enough for a repository."""
    width = min(WIDTH, picture.width)
    small = picture.convert("RGB").resize(
        (width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS
    )
    small.quantize(256, Image.Quantize.MAXCOVERAGE).save(DOCS / name, optimize=True)
    size = (DOCS / name).stat().st_size
    assert size < MOST_BYTES, f"{name} has {size:,} bytes"  # noqa: S101 - a script of ours
    print(f"{name}: {small.width} x {small.height}, {size:,} bytes")  # noqa: T201


def report(page: Path, browser: str, height: int) -> Image.Image:
    """The top of a report, as a browser shows it."""
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        place = [f"--user-data-dir={folder}/profile", f"--window-size=1100,{height}", f"--screenshot={shot}"]
        subprocess.run([browser, *options, *place, page.resolve().as_uri()], check=True, capture_output=True)
        with Image.open(shot) as picture:
            return picture.convert("RGB")


def main() -> None:
    """Draw both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path)
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--explanation", help="TARGET/SLIDE; by default the first")
    parser.add_argument("--height", type=int, default=1500)
    options = parser.parse_args()
    run = options.demo / "run"
    keep(report(run / "report.html", options.browser, options.height), "report.png")
    found = run.glob(f"explain/*/{options.explanation or '*/*'}/overlay.png")
    with Image.open(sorted(found)[0]) as picture:
        keep(picture, "explanation.png")


if __name__ == "__main__":
    main()
