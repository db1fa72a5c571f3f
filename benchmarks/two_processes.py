"""Two processes on one store, a core each, against one on one core and one on both: how many times as fast?

    python benchmarks/two_processes.py [--slides 24] [--rounds 3] [--encoder colour] [--write]

In every round the same simulated slides are compressed into an empty store in three ways, in turns: by one
process on one core, by one process on two cores, and by two processes with a core each, which share the
slides by claims. The time is that of the work: each process says when it has loaded everything and when it
has ended. Other work on the machine disturbs the wall time of some ways more than of others; so the seconds
of the processor are told too, and how busy other programs kept the cores meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import IO

from slides import write_tissue_slides

WAYS = {
    "one process, one core": [[0]],
    "one process, two cores": [[0, 1]],
    "two processes, a core each": [[0], [1]],
}
CHILD = """
import json, os, sys, time
os.sched_setaffinity(0, json.loads(sys.argv[1]))
from histonic.stages.compress.compress import compress
told = dict(slides=[sys.argv[2]], encoder=sys.argv[4], engine="eager")
compress(**told, out=sys.argv[3] + "-" + str(os.getpid()), limit=1)
print("ready", flush=True)
os.read(0, 1)
cpu, wall = time.process_time(), time.time()
result = compress(**told, out=sys.argv[3])
print(json.dumps([len(result.done), time.process_time() - cpu, wall, time.time()]), flush=True)
"""


def busy_s() -> float:
    """Seconds that all cores have worked since the machine started."""
    fields = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def said(process: subprocess.Popen[str]) -> IO[str]:
    if process.stdout is None:
        raise ValueError("Nothing of it is heard.")
    return process.stdout


def play(cores: list[list[int]], slides: Path, store: Path, encoder: str) -> tuple[float, float, float]:
    """Wall time of the work, seconds of the processor in it, and the share of both cores that others had."""
    begin, begins = os.pipe()
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, json.dumps(each), str(slides), str(store), encoder],
            stdin=begin,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for each in cores
    ]
    for process in started:
        said(process).readline()
    before, began = busy_s(), time.monotonic()
    os.write(begins, b"\n" * len(started))
    told = [json.loads(said(process).read()) for process in started]
    took = time.monotonic() - began
    for process in started:
        process.wait()
    os.close(begin)
    os.close(begins)
    cpu = sum(each[1] for each in told)
    others = (busy_s() - before - cpu) / (2 * took)
    return max(each[3] for each in told) - min(each[2] for each in told), cpu, max(0.0, others)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--slides", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--encoder", default="colour")
    parser.add_argument("--write", action="store_true", help="write two_processes.md beside this script")
    options = parser.parse_args()
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as name:
        slides = Path(name) / "slides"
        slides.mkdir()
        write_tissue_slides(slides, options.slides, side_px=896)
        for number in range(options.rounds):
            for at, (way, cores) in enumerate(WAYS.items()):
                store = Path(name) / f"store-{number}-{at}"
                found[way].append(play(cores, slides, store, options.encoder))
                print(number + 1, way, [round(each, 2) for each in found[way][-1]], flush=True)
    walls = {way: median(each[0] for each in rounds) for way, rounds in found.items()}
    cpus = {way: median(each[1] for each in rounds) for way, rounds in found.items()}
    rows = [
        f"| {way} | {walls[way]:.1f} ({min(each[0] for each in found[way]):.1f} to "
        f"{max(each[0] for each in found[way]):.1f}) | {cpus[way]:.1f} | "
        f"{100 * median(each[2] for each in found[way]):.0f} % |"
        for way in WAYS
    ]
    one, both, two = WAYS
    text = (
        "# Two processes against one\n\n"
        f"Made by `python benchmarks/two_processes.py --slides {options.slides} --rounds {options.rounds} "
        f"--encoder {options.encoder} --write` on {os.cpu_count()} cores ({platform.machine()}); medians.\n\n"
        f"| {options.slides} slides by | wall time, s (from, to) | processor, s | others had of both |\n"
        "| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n\n"
        f"Two processes were {walls[one] / walls[two]:.2f} times as fast as one on one core, and "
        f"{walls[both] / walls[two]:.2f} times as fast as one on both cores, whose threads use both. In "
        f"seconds of the processor two took {cpus[two] / cpus[one]:.2f} times what one took on one core; "
        f"where nothing else ran, that would be a ratio of {2 * cpus[one] / cpus[two]:.2f}.\n"
    )
    print(text)
    if options.write:
        Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
