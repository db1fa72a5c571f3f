"""Kill compress and train at random moments, run the same command again, compare every byte.

    python benchmarks/kill_resume.py DEMO_FOLDER [--kills 5]

DEMO_FOLDER is what ``histonic demo`` made: its slides and labels are used, everything else is made anew in
a temporary folder. Prints one line a round and ends with exit code 1 if any byte differs.
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
from pathlib import Path

START_SECONDS = 2.0
TARGETS = ["grade:multiclass", "proliferation_score:regression", "os:survival:os_months,os_event"]


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def run_undisturbed(words: list[str], cwd: Path) -> float:
    began = time.monotonic()
    subprocess.run(words, cwd=cwd, check=True, capture_output=True)
    return time.monotonic() - began


def run_killed(words: list[str], cwd: Path, seconds: float, kills: int, rng: random.Random) -> int:
    """Kill ``kills`` times at random moments, then let it finish; the number of kills that hit."""
    hits = 0
    for _ in range(kills):
        process = subprocess.Popen(words, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=START_SECONDS + rng.uniform(0.1, 1.0) * seconds / kills)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            hits += 1
    subprocess.run(words, cwd=cwd, check=True, capture_output=True)
    return hits


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--slides", type=int, default=8, help="slides for the compression rounds")
    options = parser.parse_args()
    demo = options.demo.resolve()
    rng = random.Random(0)
    different = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slides = folder / "slides"
        slides.mkdir()
        for path in sorted((demo / "slides").glob("*.tif"))[: options.slides]:
            shutil.copy(path, slides / path.name)
        compress = [sys.executable, "-m", "histonic", "compress", str(slides), "--out", "out"]
        train = [sys.executable, "-m", "histonic", "train", str(demo / "store"), "--out", "out"]
        train += ["--labels", str(demo / "labels.csv")]
        for target in TARGETS:
            train += ["--target", target]
        for what, words in (("compress", compress), ("train", train)):
            whole = folder / f"{what}-whole"
            whole.mkdir()
            seconds = run_undisturbed(words, whole)
            for number in range(options.rounds):
                torn = folder / f"{what}-torn-{number}"
                torn.mkdir()
                hits = run_killed(words, torn, seconds, options.kills, rng)
                same = digest(torn) == digest(whole)
                different += not same
                print(
                    f"{what}: undisturbed {seconds:.0f} s, {hits} kills in round {number + 1}: "
                    f"{len(digest(whole))} files, {'identical' if same else 'DIFFERENT'}"
                )
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
