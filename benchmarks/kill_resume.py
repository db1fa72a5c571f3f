"""Kill every long command at random moments, run it again until it ends, compare every byte.

    python benchmarks/kill_resume.py [--kills 112] [--only train ...] [--write]

The inputs are simulated in a temporary folder. A command runs undisturbed once; then, again and again in a
fresh folder, it is killed (SIGKILL) some times at moments spread over its duration and run to its end. All
files have to be the same. Prints one line a command and ends with exit code 1 if any byte differs.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from histonic.simulate.slides import simulate_cohort, simulate_tissue

KILLS_A_ROUND = 4
START_S = 1.0
"""The interpreter takes longer than this to come to the work."""
TARGETS = ["grade:multiclass", "proliferation_score:regression", "os:survival:os_months,os_event"]


@dataclass(frozen=True)
class Command:
    """A command, what it needs in the folder where it runs, and where it writes."""

    words: list[str]
    prepare: Callable[[Path], None]
    out: str


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def histonic(*words: str) -> list[str]:
    return [sys.executable, "-m", "histonic", *words]


def write_tiles(folder: Path) -> None:
    """A tile set of three textures."""
    for number, name in enumerate(("pale", "dark", "mixed")):
        (folder / name).mkdir(parents=True)
        for k in range(24):
            tissue = simulate_tissue(256, np.random.default_rng(100 * number + k))
            tile = np.clip(tissue[64:192, 64:192].astype(int) - 25 * number, 0, 255).astype(np.uint8)
            Image.fromarray(tile).save(folder / name / f"{k}.png")


def commands(inputs: Path) -> dict[str, Command]:
    """All commands on inputs that are made here."""
    simulate_cohort(inputs, patients=14, seed=3, side_px=1024, processes=2)
    write_tiles(inputs / "tiles")
    sets = [f"  - {{name: textures, path: {inputs / 'tiles'}, mpp: 0.5}}\n"]
    (inputs / "encoder.yaml").write_text("sets:\n" + "".join(sets))
    store = histonic(
        "compress", str(inputs / "slides"), "--encoder", "colour", "--out", str(inputs / "store")
    )
    subprocess.run(store, check=True, capture_output=True)
    train = histonic("train", str(inputs / "store"), "--labels", str(inputs / "labels.csv"), "--out", "out")
    train += [word for target in TARGETS for word in ("--target", target)]
    train += ["--folds", "3", "--max-epochs", "2", "--initialisations", "1", "--device", "cpu"]
    (inputs / "whole").mkdir()
    subprocess.run(train, cwd=inputs / "whole", check=True, capture_output=True)

    def nothing(_: Path) -> None:
        pass

    def run(folder: Path) -> None:
        shutil.copytree(inputs / "whole" / "out", folder / "out")

    encoder = histonic("encoder", "train", "--config", str(inputs / "encoder.yaml"), "--out", "out")
    encoder += ["--tile-px", "64", "--mpp", "0.5", "--code-size", "16", "--batch", "16", "--steps", "12"]
    encoder += ["--max-epochs", "5", "--device", "cpu"]
    tiles = histonic(
        "tiles", "extract", str(inputs / "slides"), "--on-tissue", "--out", "out", "--tile-px", "128"
    )
    mosaic = histonic("simulate", "mosaic", "--tiles", str(inputs / "tiles"), "--mpp-of-tiles", "0.5")
    mosaic += ["--kind", "needle", "--patients", "12", "--test-patients", "4", "--cells", "8", "--out", "out"]
    return {
        "compress": Command(
            histonic(
                "compress", str(inputs / "slides"), "--encoder", "colour", "--out", "out", "--batch", "16"
            ),
            nothing,
            "out",
        ),
        "train": Command(train, nothing, "out"),
        "train, 2 workers": Command([*train, "--workers", "2"], nothing, "out"),
        "encoder train": Command(encoder, nothing, "out"),
        "tiles extract": Command(tiles, nothing, "out"),
        "simulate mosaic": Command(mosaic, nothing, "out"),
        "explain": Command(histonic("explain", "out", "--patients", "2"), run, "out"),
        "report": Command(histonic("report", "out", "--resamples", "500"), run, "out"),
    }


def run_killed(words: list[str], cwd: Path, moments: Iterator[float]) -> int:
    """Kill at each moment, then let it finish; the number of kills that hit."""
    hits = 0
    for moment in moments:
        process = subprocess.Popen(words, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            hits += 1
    subprocess.run(words, cwd=cwd, check=True, capture_output=True)
    return hits


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=112, help="kills that hit, over all commands")
    parser.add_argument("--only", nargs="*", help="names of commands; all if not given")
    parser.add_argument("--write", action="store_true", help="write kill_resume.md beside this script")
    options = parser.parse_args()
    rng = random.Random(0)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "inputs").mkdir()
        found = commands(folder / "inputs")
        chosen = options.only or list(found)
        for what in chosen:
            command = found[what]
            whole = folder / f"{what}-whole"
            whole.mkdir()
            command.prepare(whole)
            began = time.monotonic()
            subprocess.run(command.words, cwd=whole, check=True, capture_output=True)
            seconds = time.monotonic() - began
            wanted = digest(whole)
            hits, rounds, different = 0, 0, 0
            while hits < options.kills / len(chosen):
                torn = folder / f"{what}-torn-{rounds}"
                torn.mkdir()
                command.prepare(torn)
                moments = (rng.uniform(min(START_S, seconds / 2), seconds) for _ in range(KILLS_A_ROUND))
                hits += run_killed(command.words, torn, moments)
                rounds += 1
                same = digest(torn) == wanted
                different += not same
                if not same:
                    print(
                        f"{what}: {sorted(set(wanted.items()) ^ set(digest(torn).items()))[:10]}", flush=True
                    )
                shutil.rmtree(torn)
            rows.append((what, seconds, len(wanted), rounds, hits, different))
            print(*rows[-1], flush=True)
    if options.write:
        write_table(rows)
    return 1 if any(row[-1] for row in rows) else 0


def write_table(rows: list[tuple[str, float, int, int, int, int]]) -> None:
    total = [sum(row[column] for row in rows) for column in (3, 4, 5)]  # type: ignore[misc]
    lines = [
        "# Kills and resumption",
        "",
        "Made by `python benchmarks/kill_resume.py --write`: SIGKILL at random moments, then the same "
        "command to its end; counted are rounds whose files differ from an undisturbed run in any byte.",
        "",
        "| command | undisturbed, s | files | rounds | kills | rounds that differ |",
        "| --- | --- | --- | --- | --- | --- |",
        *(f"| {row[0]} | {row[1]:.0f} | " + " | ".join(str(each) for each in row[2:]) + " |" for row in rows),
        f"| all | | | {total[0]} | {total[1]} | {total[2]} |",
    ]
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
