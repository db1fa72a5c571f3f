"""Three runs on one store, one killed, one suspended beyond the limit and woken up: are all maps right?

    python benchmarks/shared_store.py [--rounds 20] [--slides 60] [--write]

Every round compresses the same simulated slides into an empty store by three processes at once. At random
moments one is killed (SIGKILL) and another is stopped (SIGSTOP) for longer than ``--stale-after`` and then
continued. A map is right if its bytes are those of an undisturbed run. Counted is also how often a slide was
encoded to its end more than once. Exit code 1 if a map is wrong, absent or half-written, or a run broke off.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from slides import write_tissue_slides

STALE_S = 3.0
CHILD = """
import sys
from histonic.core.progress import Silent
from histonic.stages.compress.compress import compress

class Listener(Silent):
    def advance(self, steps=1, note=""):
        slide, _, count = note.partition(" ")
        seen, _, total = count.partition(" ")[0].partition("/")
        if seen and seen == total:
            print("encoded", slide, flush=True)

compress(slides=[sys.argv[1]], out=sys.argv[2], encoder="colour", batch=16, stale_after=float(sys.argv[3]),
         progress=Listener())
print("ended", flush=True)
"""


@dataclass(frozen=True)
class Round:
    """What a round ended with."""

    wrong: int
    tracebacks: int
    repeated: int
    repeated_by_others: int
    seconds: float


def digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return total.hexdigest()


def words(slides: Path, store: Path) -> list[str]:
    return [sys.executable, "-c", CHILD, str(slides), str(store), str(STALE_S)]


def start(slides: Path, store: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(words(slides, store), stdout=file, stderr=subprocess.STDOUT)


def play_round(
    slides: Path, folder: Path, whole: dict[str, str], rng: random.Random, usual_s: float
) -> Round:
    store = folder / "store"
    logs = [folder / f"{number}.txt" for number in range(3)]
    began = time.monotonic()
    killed, stopped, free = (start(slides, store, log) for log in logs)
    while not list(store.glob("*.zarr")) and time.monotonic() - began < 120:
        time.sleep(0.02)
    moments = sorted((rng.uniform(0, usual_s / 2), event) for event in ("kill", "stop"))
    first = time.monotonic()
    for moment, event in moments:
        time.sleep(max(0.0, first + moment - time.monotonic()))
        os.kill(
            (killed if event == "kill" else stopped).pid,
            signal.SIGKILL if event == "kill" else signal.SIGSTOP,
        )
    time.sleep(2 * STALE_S)
    os.kill(stopped.pid, signal.SIGCONT)
    for process in (killed, stopped, free):
        process.wait(timeout=600)
    said = [log.read_text(errors="replace") for log in logs]
    subprocess.run(words(slides, store), check=True, capture_output=True)
    encoded = Counter(
        line.split()[1] for text in said for line in text.splitlines() if line.startswith("encoded")
    )
    by_free = Counter(line.split()[1] for line in said[2].splitlines() if line.startswith("encoded"))
    by_stopped = {line.split()[1] for line in said[1].splitlines() if line.startswith("encoded")}
    by_killed = {line.split()[1] for line in said[0].splitlines() if line.startswith("encoded")}
    twice = {slide for slide, count in encoded.items() if count > 1}
    blameless = {slide for slide in twice if slide in by_free and slide not in by_stopped | by_killed}
    left = {path.name for path in store.iterdir() if path.name.startswith(".partial-")} | (
        {"claims"} if (store / "claims").exists() else set()
    )
    found = {path.name: digest(path) for path in store.glob("*.zarr")}
    wrong = sum(found.get(name) != wanted for name, wanted in whole.items()) + len(
        found.keys() - whole.keys()
    )
    tracebacks = (
        sum("Traceback" in text for text in said) + ("ended" not in said[2]) + ("ended" not in said[1])
    )
    return Round(wrong + len(left), tracebacks, len(twice), len(blameless), time.monotonic() - began)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--slides", type=int, default=60)
    parser.add_argument("--write", action="store_true", help="write shared_store.md beside this script")
    options = parser.parse_args()
    rng = random.Random(0)
    rounds = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slides = folder / "slides"
        write_tissue_slides(slides, options.slides, side_px=896)
        began = time.monotonic()
        subprocess.run(words(slides, folder / "whole"), check=True, capture_output=True)
        usual_s = time.monotonic() - began
        whole = {path.name: digest(path) for path in (folder / "whole").glob("*.zarr")}
        print(f"{len(whole)} maps; undisturbed, one process: {usual_s:.1f} s")
        for number in range(options.rounds):
            place = folder / f"round-{number}"
            place.mkdir()
            rounds.append(play_round(slides, place, whole, rng, usual_s))
            print(f"round {number + 1}: {rounds[-1]}", flush=True)
    wrong, tracebacks = sum(each.wrong for each in rounds), sum(each.tracebacks for each in rounds)
    repeated = [each.repeated for each in rounds]
    text = (
        f"{len(rounds)} rounds, {options.slides} slides each, three processes, one killed, one suspended for "
        f"twice the limit of {STALE_S:.0f} s and continued: {wrong} maps wrong, absent or left half-written, "
        f"{tracebacks} runs broke off; slides encoded twice: {sum(repeated)} in all (most in a round "
        f"{max(repeated)}), by processes that were neither killed nor suspended: "
        f"{sum(each.repeated_by_others for each in rounds)}."
    )
    print(text)
    if options.write:
        head = "# Three runs on one store\n\nMade by `python benchmarks/shared_store.py --write`.\n\n"
        Path(__file__).with_suffix(".md").write_text(f"{head}{text}\n", encoding="utf-8")
    return 1 if wrong or tracebacks else 0


if __name__ == "__main__":
    sys.exit(main())
