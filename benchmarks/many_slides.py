"""10,000 slides over four processes with random kills and restarts: one right map a slide, nothing lost?

    python benchmarks/many_slides.py [--slides 10000] [--workers 4] [--kills 12] [--way claims] [--write]

Slides of one tile are written that have one colour each, so that the codes of a right map are known without
compressing anything, and the spreading of the work weighs most; one in a hundred is bad (cut off, empty, or
no image). The workers run ``histonic compress`` on the whole list, as a scheduler would start them; at
random moments one of them is killed (SIGKILL) and started again. With ``--way dask`` they are workers of a
Dask cluster, to which one ``histonic compress --cluster`` hands out the slides; that client is killed twice,
too, and its command given again. Then every map is compared with the codes and the fingerprint that it must
have, and the list of failures with the bad slides. The first slides are also compressed undisturbed by one
process, with which their maps are compared byte by byte, and which tells the work that a slide takes. Times
of the processor are those of all processes, killed ones included; the wall time depends on what else the
machine does. Exit code 1 if a map is wrong or lost, or a failure is not listed.

Another way to spread the slides is a function in ``WAYS``.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tifffile

from histonic.core.claims import CLAIMS_FOLDER, Claims
from histonic.core.files import PARTIAL_PREFIX
from histonic.data.maps.store import Store, map_folder, read_map
from histonic.slides.fingerprint import fingerprint_file
from histonic.stages.verify.verify import verify

TILE_PX = 128
SIDE_CELLS = 1
MPP = 0.5
ONE_BAD_IN = 100
FEW = 300
"""Slides that one process compresses undisturbed."""
POLL_S = 0.2
MOST_S = 6 * 3600
CLIENT_KILLS = 2
OPTIONS = ["--encoder", "mean-rgb", "--tissue", "all"]


@dataclass(frozen=True)
class Job:
    """What is to be done, and how it is disturbed."""

    slides: Path
    store: Path
    count: int
    workers: int
    kills: int
    rng: random.Random


@dataclass
class Played:
    """How a way went.

    Attributes:
        wall_s: Until the last process ended.
        cpu_s: Of the processor, by all processes, killed ones included.
        starts: Processes that were started.
        kills: How many of them were killed.
        codes: Exit codes of those that ended by themselves.
        memory: Share of the maps that were there, and MB that the largest worker held then.
        client: The same of the client of a cluster.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    starts: int = 0
    kills: int = 0
    codes: list[int] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    client: list[tuple[float, float]] = field(default_factory=list)


# --- slides


def colours_of(number: int) -> np.ndarray:
    """Colours ``(R, K, 3)`` of a slide's tiles."""
    return np.random.default_rng(number).integers(60, 230, (SIDE_CELLS, SIDE_CELLS, 3), np.uint8)


def name_of(number: int) -> str:
    return f"slide-{number:07d}"


def is_bad(number: int) -> bool:
    return number % ONE_BAD_IN == ONE_BAD_IN // 2


def write_slides(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{name_of(number)}.tif"
        if path.exists():
            continue
        pixels = np.kron(colours_of(number), np.ones((TILE_PX, TILE_PX, 1), np.uint8))
        tifffile.imwrite(
            path,
            pixels,
            photometric="rgb",
            tile=(TILE_PX, TILE_PX),
            compression="zlib",
            resolution=(1e4 / MPP, 1e4 / MPP),
            resolutionunit="CENTIMETER",
        )
        if is_bad(number):
            spoil(path, number // ONE_BAD_IN % 3)


def spoil(path: Path, kind: int) -> None:
    whole = path.read_bytes()
    path.write_bytes((whole[: len(whole) // 2], b"", b"This is no image.\n" * 20)[kind])


# --- ways


def words(slides: Path, store: Path, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "histonic", "compress", str(slides), "--out", str(store)),
        *OPTIONS,
        *("--quiet", "--stale-after", "20"),
        *more,
    ]


def start(command: list[str]) -> subprocess.Popen[bytes]:
    # A core each, as on nodes of their own; what they print is of no use here.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


def resident_mb(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, IndexError):
        return 0.0


def reap(pid: int, flags: int = 0) -> tuple[int, float] | None:
    """Exit code and seconds of the processor, once the process has ended."""
    ended, status, usage = os.wait4(pid, flags)
    if not ended:
        return None
    return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime


def done(store: Path) -> int:
    return sum(entry.name.endswith(".zarr") for entry in os.scandir(store)) if store.is_dir() else 0


def by_claims(job: Job) -> Played:
    """Workers on one store that know nothing of each other but their claims."""
    played, began = Played(), time.monotonic()
    command = words(job.slides, job.store)
    # Kills fall where the work is, not where the machine happens to be slow.
    moments = sorted((job.rng.uniform(0.02, 0.98) for _ in range(job.kills)), reverse=True)
    working = [start(command).pid for _ in range(job.workers)]
    played.starts = job.workers
    looked = 0.0
    while working:
        time.sleep(POLL_S)
        if time.monotonic() - began > MOST_S:
            raise TimeoutError("The workers do not come to an end.")
        for pid in list(working):
            if (ended := reap(pid, os.WNOHANG)) is not None:
                working.remove(pid)
                played.codes.append(ended[0])
                played.cpu_s += ended[1]
        share = done(job.store) / job.count
        if share >= looked + 0.05 and working:
            looked = share
            played.memory.append((share, max(resident_mb(pid) for pid in working)))
        while moments and working and share >= moments[-1]:
            moments.pop()
            victim = working.pop(job.rng.randrange(len(working)))
            os.kill(victim, signal.SIGKILL)
            ended = reap(victim)
            played.cpu_s += ended[1] if ended else 0.0
            played.kills += 1
            working.append(start(command).pid)
            played.starts += 1
    played.wall_s = time.monotonic() - began
    return played


def by_dask(job: Job) -> Played:
    """Workers of a Dask cluster, and a client that hands out the slides."""
    played, began = Played(), time.monotonic()
    cluster = job.store.with_name("cluster")
    shutil.rmtree(cluster, ignore_errors=True)
    cluster.mkdir()
    file = cluster / "scheduler.json"
    here = ["--host", "127.0.0.1", "--scheduler-file", str(file), "--no-dashboard"]
    scheduler = start(dask("scheduler", *here, "--port", "0", "--no-show")).pid
    while not file.exists():
        time.sleep(POLL_S)
    # Without nannies: what is killed is started again here, as a batch system would.
    command = dask("worker", *here, "--nthreads", "1", "--no-nanny", "--memory-limit", "0")
    command += ["--local-directory", str(cluster)]
    told = words(job.slides, job.store, "--cluster", str(file))
    working = [start(command).pid for _ in range(job.workers)]
    client = start(told).pid
    played.starts = job.workers
    moments = sorted(
        [
            *((job.rng.uniform(0.02, 0.98), "worker") for _ in range(job.kills)),
            *((job.rng.uniform(0.1, 0.9), "client") for _ in range(CLIENT_KILLS)),
        ],
        reverse=True,
    )
    looked = 0.0
    try:
        while (ended := reap(client, os.WNOHANG)) is None:
            time.sleep(POLL_S)
            if time.monotonic() - began > MOST_S:
                raise TimeoutError("The client does not come to an end.")
            share = done(job.store) / job.count
            if share >= looked + 0.05:
                looked = share
                played.memory.append((share, max(resident_mb(pid) for pid in working)))
                played.client.append((share, resident_mb(client)))
            while moments and share >= moments[-1][0]:
                _, kind = moments.pop()
                at = job.rng.randrange(len(working))
                victim = client if kind == "client" else working.pop(at)
                os.kill(victim, signal.SIGKILL)
                gone = reap(victim)
                played.cpu_s += gone[1] if gone else 0.0
                played.kills += 1
                if kind == "client":
                    client = start(told).pid
                else:
                    working.append(start(command).pid)
                    played.starts += 1
        played.codes.append(ended[0])
        played.cpu_s += ended[1]
    finally:
        for pid in (*working, scheduler):
            os.kill(pid, signal.SIGTERM)
            gone = reap(pid)
            played.cpu_s += gone[1] if gone else 0.0
    played.wall_s = time.monotonic() - began
    return played


def dask(kind: str, *more: str) -> list[str]:
    return [sys.executable, "-c", f"from distributed.cli.dask_{kind} import main; main()", *more]


WAYS: dict[str, Callable[[Job], Played]] = {"claims": by_claims, "dask": by_dask}


# --- what came out


def digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return total.hexdigest()


def is_right(store: Path, slides: Path, number: int) -> bool:
    """Whether a map holds the codes of its slide's colours, and says that it is of that file."""
    found = read_map(map_folder(store, name_of(number)))
    wanted = colours_of(number).transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    fits = np.abs(np.asarray(found.features[:], np.float32) - wanted).max() < 2e-3
    same_file = found.slide.fingerprint == fingerprint_file(slides / f"{name_of(number)}.tif")
    return bool(fits and found.mask.all() and same_file)


def judge(job: Job) -> dict[str, int]:
    """Counts of what is not as it must be."""
    good = {number for number in range(job.count) if not is_bad(number)}
    maps = {path.name.removesuffix(".zarr") for path in job.store.glob("[!.]*.zarr")}
    listed = {failure.slide_id for failure in Store.open(job.store).failures()}
    wanted, bad = (
        {name_of(number) for number in good},
        {name_of(number) for number in range(job.count) if is_bad(number)},
    )
    left = [path for path in job.store.iterdir() if path.name.startswith(PARTIAL_PREFIX)]
    claims = job.store / CLAIMS_FOLDER
    return {
        "lost": len(wanted - maps),
        "wrong": sum(not is_right(job.store, job.slides, n) for n in good if name_of(n) in maps),
        "maps of bad slides": len(maps - wanted),
        "bad slides not listed": len(bad - listed),
        "good slides listed as failed": len(listed - bad),
        "half-written": len(left),
        "claims left": len(list(claims.iterdir())) if claims.is_dir() else 0,
    }


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def alone(folder: Path, slides: Path, count: int) -> tuple[float, float, Path]:
    """Seconds of the processor that a start takes, and a slide; and the store, made by one process."""
    few = folder / f"few-{count}.csv"
    names = [f"{name_of(number)}.tif" for number in range(count)]
    few.write_text("path\n" + "".join(f"{slides.absolute() / name}\n" for name in names))
    store = folder / "alone"

    def cpu(*more: str) -> float:
        ended = reap(start(words(few, store, *more)).pid)
        return ended[1] if ended else 0.0

    first = cpu("--limit", "1")
    return first, (cpu() - first) / (count - 1), store


def claim_ms(folder: Path) -> float:
    """Milliseconds of the processor to claim a slide and give it back."""
    folder.mkdir(exist_ok=True)
    with Claims(folder) as claims:
        claims.take("held")
        began = time.process_time()
        for _ in range(1000):
            claims.take("a")
            claims.release("a")
        return time.process_time() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--slides", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--way", choices=WAYS, default="claims")
    parser.add_argument(
        "--folder", type=Path, help="where slides and stores are kept; default: removed at the end"
    )
    parser.add_argument("--write", action="store_true", help="write many_slides-WAY.md beside this script")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        slides = folder / f"slides-{options.slides}"
        write_slides(slides, options.slides)
        print(f"{options.slides} slides are written", flush=True)
        job = Job(
            slides,
            folder / f"store-{options.way}",
            options.slides,
            options.workers,
            options.kills,
            random.Random(0),
        )
        few = min(FEW, options.slides)
        start_s, slide_s, undisturbed = alone(folder, slides, few)
        print(
            f"alone: {start_s:.1f} s of the processor to start, {1000 * slide_s:.1f} ms a slide", flush=True
        )
        played = WAYS[options.way](job)
        print(played, flush=True)
        found = judge(job)
        found["maps that differ from undisturbed ones"] = sum(
            digest(path) != digest(job.store / path.name) for path in undisturbed.glob("*.zarr")
        )
        print(found, flush=True)
        text = told(options, job, played, found, few, start_s, slide_s)
    print(text)
    if options.write:
        place = Path(__file__).with_name(f"many_slides-{options.way}.md")
        place.write_text(text, encoding="utf-8")
    return 1 if any(found.values()) or set(played.codes) - {0, 1} else 0


def memory_words(found: list[tuple[float, float]]) -> str:
    some = found[:: max(1, len(found) // 6)]
    return ", ".join(f"{mb:.0f} at {100 * share:.0f} %" for share, mb in some)


def told(
    options: argparse.Namespace,
    job: Job,
    played: Played,
    found: dict[str, int],
    few: int,
    start_s: float,
    slide_s: float,
) -> str:
    store = job.store
    again: list[float] = []
    listing = timed(lambda: Store.open(store))
    quick = timed(lambda: verify(paths=[store], quick=True))
    whole = timed(lambda: verify(paths=[store]))
    again_wall = timed(lambda: again.append((reap(start(words(job.slides, store)).pid) or (0, 0.0))[1]))
    working_s = played.cpu_s - played.starts * start_s
    memory = memory_words(played.memory)
    rows = [
        ("slides, bad ones among them", f"{job.count:,}, {sum(map(is_bad, range(job.count))):,}"),
        ("workers; kills and restarts", f"{job.workers}; {played.kills}"),
        *((name, str(count)) for name, count in found.items()),
        ("wall time", f"{played.wall_s / 60:.1f} min"),
        ("processor time of all processes", f"{played.cpu_s / 60:.1f} min"),
        (f"one process alone ({few} slides)", f"{start_s:.1f} s to start, {1000 * slide_s:.1f} ms a slide"),
        (
            "beyond that, a slide: claims, looks at what others did, repeated work, looks at restarts",
            f"{1000 * (working_s / job.count - slide_s):.1f} ms of the processor",
        ),
        (
            "to claim a slide and give it back",
            f"{claim_ms(job.store.with_name('claim')):.2f} ms of the processor",
        ),
        ("memory of the largest worker, MB", memory),
        *([("memory of the client, MB", memory_words(played.client))] if played.client else []),
        ("listing the store", f"{listing:.1f} s"),
        ("`verify --quick`", f"{quick:.1f} s"),
        ("`verify`, every byte", f"{whole:.0f} s"),
        (
            "the same command again, nothing to do but the bad slides",
            f"{again[0]:.0f} s of the processor, {again_wall:.0f} s",
        ),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return (
        f"# {job.count:,} slides over {job.workers} processes, by {options.way}\n\n"
        f"Made by `python benchmarks/many_slides.py --slides {options.slides} --workers {options.workers} "
        f"--kills {options.kills} --way {options.way} --write` on {os.cpu_count()} cores "
        f"({platform.system()}, Python {platform.python_version()}).\n\n| | |\n| --- | --- |\n{table}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
