"""Stores in an S3 server that fails: is anything lost, half-published or published twice? What does it cost?

    python benchmarks/object_store.py [--slides 40] [--rate 0.15] [--kills 4] [--write]

Needs ``pip install 'histonic[remote]' 'moto[server]' boto3``. The server is moto's on this machine, behind a
proxy (`faulty_s3.py`) that cuts, delays, loses and refuses. First the same simulated slides are compressed
into a folder and into the server without faults, one after the other: requests, bytes and seconds. Then two
runs at a time compress them into another place of the server while requests go wrong, and are killed
(SIGKILL) and started again, while a reader fetches whatever map is there. At the end every byte is verified,
each map compared with that of the folder, and both are trained on. Exit code 1 if a map is wrong, absent,
half-published, or was published twice; if fewer than 100 faults were met; or if predictions differ.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slides import write_tissue_slides

HERE = Path(__file__).parent
LEAST_FAULTS = 100
READER = """
import sys, time, tempfile
from pathlib import Path
from histonic.core.errors import StoreError
from histonic.core.objects.objects import Objects
from histonic.core.places.urls import Url
from histonic.data.maps.remote.published import MAPS, fetch_map, read_pointer
from histonic.data.maps.store import read_map
objects, seen, wrong = Objects(Url(sys.argv[1])), 0, 0
with tempfile.TemporaryDirectory() as folder:
    while not Path(sys.argv[2]).exists():
        for each in objects.listed(MAPS):
            name = each.key.removeprefix(MAPS).removesuffix(".json")
            try:
                fetch_map(objects, read_pointer(objects, name)[0], Path(folder) / f"{name}.zarr")
                read_map(Path(folder) / f"{name}.zarr")
                seen += 1
            except StoreError as error:
                # A write of which half was stored is no map yet, and S3 never stores half of one.
                wrong += "It is no JSON" not in error.found
                print(error, flush=True)
        time.sleep(0.2)
print("reader", seen, wrong, flush=True)
"""


@dataclass
class Service:
    """The server and its proxy, in a process of their own."""

    process: subprocess.Popen[str]
    server: int
    proxy: int

    @classmethod
    def start(cls, seed: int) -> Service:
        """Start both."""
        words = [sys.executable, str(HERE / "faulty_s3.py"), str(seed)]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = process.stdout.readline() if process.stdout is not None else ""
        if not line:
            sys.exit("The server did not start; are moto[server] and boto3 installed?")
        return cls(process, **json.loads(line))

    def ask(self, path: str) -> dict[str, Any]:
        """Tell the proxy something, and hear what it did."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.proxy}/-/{path}") as answer:
            return dict(json.loads(answer.read()))

    def environment(self, home: Path, port: int) -> dict[str, str]:
        """Of a process that is to use the server, or the proxy."""
        keys = {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        home.mkdir(exist_ok=True)
        place = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "HISTONIC_CACHE": str(home),
            "OMP_NUM_THREADS": "1",
        }
        return {**os.environ, **keys, **place}

    def end(self) -> None:
        """End both."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "histonic", *words]


def compress(slides: Path, out: str, *more: str) -> list[str]:
    return command("compress", str(slides), "--encoder", "colour", "--engine", "eager", "--out", out, *more)


def timed(words: Sequence[str], environment: dict[str, str], count: int) -> float:
    """Seconds that a compression says it took, of the slides alone."""
    said = subprocess.run([*words, "--json"], env=environment, capture_output=True, text=True, check=False)
    if said.returncode:
        sys.exit(said.stdout + said.stderr)
    told = json.loads(said.stdout)["numbers"]
    if told["done"] != count:
        sys.exit(f"{told}")
    return float(told["seconds"])


def run_with_kills(
    words: list[str], environment: dict[str, str], kills: int, log: Path, rng: random.Random
) -> tuple[int, int]:
    """Two runs at a time, killed and started again until both have ended; kills, and runs that gave up."""
    killed = failed = 0
    with log.open("wb") as file:

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(words, env=environment, stdout=file, stderr=subprocess.STDOUT)

        running = [start(), start()]
        next_kill = time.monotonic() + rng.uniform(4, 10)
        while running:
            time.sleep(0.1)
            if killed < kills and time.monotonic() > next_kill:
                victim = rng.choice(running)
                if victim.poll() is None:
                    os.kill(victim.pid, signal.SIGKILL)
                    victim.wait()
                    killed += 1
                    running[running.index(victim)] = start()
                next_kill = time.monotonic() + rng.uniform(4, 10)
            for process in list(running):
                if process.poll() is None:
                    continue
                running.remove(process)
                if process.returncode:
                    failed += 1
                    if failed > 20:
                        sys.exit(log.read_text())
                    running.append(start())
    return killed, failed


def contents(store: Path) -> dict[str, str]:
    found = {}
    for path in sorted(store.glob("*.zarr/zarr.json")):
        found[path.parent.name.removesuffix(".zarr")] = json.loads(path.read_text())["attributes"]["content"]
    return found


def published(environment: dict[str, str], url: str) -> dict[str, str]:
    """The hash of every map's content, by slide, as its object says."""
    code = (
        "import sys, json; from histonic.core.objects.objects import Objects; "
        "from histonic.core.places.urls import Url; "
        "from histonic.data.maps.remote.published import MAPS, leftovers, read_pointer; "
        "o = Objects(Url(sys.argv[1])); names = [e.key[5:-5] for e in o.listed(MAPS)]; "
        "maps = {n: read_pointer(o, n)[0].facts['content'] for n in names}; "
        "print(json.dumps([maps, len(leftovers(o, -1)), [e.key for e in o.listed('claims/')]]))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, url], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(said.stdout)


def train(store: str, labels: Path, out: Path, environment: dict[str, str]) -> bytes:
    words = command(
        "train", store, "--labels", str(labels), "--target", "grade", "--out", str(out), "--quick"
    )
    subprocess.run(words, env=environment, capture_output=True, check=True)
    return (out / "predictions" / "grade.csv").read_bytes()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slides", type=int, default=40)
    parser.add_argument("--rate", type=float, default=0.15)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="write object_store.md")
    given = parser.parse_args()
    service, rng = Service.start(given.seed), random.Random(given.seed)
    try:
        with tempfile.TemporaryDirectory() as folder:
            lines, wrong = measure(service, Path(folder), given, rng)
    finally:
        service.end()
    print("\n".join([*lines, *(f"WRONG: {each}" for each in wrong)]))
    if given.write and not wrong:
        asked = f"--slides {given.slides} --rate {given.rate} --kills {given.kills} --write"
        head = (
            f"# Stores in an S3 server that fails\n\nMade by `python benchmarks/object_store.py {asked}`.\n\n"
        )
        (HERE / "object_store.md").write_text(head + "\n".join(lines) + "\n")
    return 1 if wrong else 0


def measure(
    service: Service, folder: Path, given: argparse.Namespace, rng: random.Random
) -> tuple[list[str], list[str]]:
    count, slides, labels = given.slides, folder / "slides", folder / "labels.csv"
    slides.mkdir()
    write_tissue_slides(slides, count)
    names = sorted(path.stem for path in slides.glob("*.tif"))
    rows = [f"p-{name},{name},{'yes' if number % 2 else 'no'}" for number, name in enumerate(names)]
    labels.write_text("\n".join(["patient_id,slide_id,grade", *rows]) + "\n")
    clean = service.environment(folder / "home", service.server)
    counted = service.environment(folder / "home", service.proxy)

    local_s = timed(compress(slides, str(folder / "local")), clean, count)
    remote_s = timed(compress(slides, "s3://bucket/clean"), counted, count)
    before = service.ask("counts")
    wanted = contents(folder / "local")

    service.ask(f"rate?{given.rate}")
    stop = folder / "stop"
    reading = subprocess.Popen(
        [sys.executable, "-c", READER, "s3://bucket/faulty", str(stop)],
        env=clean, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    began = time.monotonic()
    log = folder / "log.txt"
    killed, failed = run_with_kills(
        compress(slides, "s3://bucket/faulty", "--stale-after", "4"), counted, given.kills, log, rng
    )
    faulty_s = time.monotonic() - began
    stop.touch()
    said = reading.communicate()[0].strip().splitlines()
    seen, half = (int(word) for word in said[-1].split()[1:])
    found, left, claims = published(clean, "s3://bucket/faulty")
    verified = subprocess.run(
        command("verify", "s3://bucket/faulty"), env=clean, capture_output=True, text=True, check=False
    )
    same = train(str(folder / "local"), labels, folder / "run-local", clean) == train(
        "s3://bucket/faulty", labels, folder / "run-remote", counted
    )
    after = service.ask("counts")
    faults = after["faults"]
    history = {key: set(each) for key, each in after["published"].items() if key.startswith("faulty/maps/")}
    twice = [key for key, versions in history.items() if len(versions) > 1]
    text = log.read_text(errors="replace")

    wrong = []
    if found != wanted:
        wrong.append(f"{sum(found.get(name) != wanted[name] for name in wanted)} maps are absent or others")
    if half:
        wrong.append(f"the reader met {half} maps that were not whole: {said[:-1]}")
    if twice:
        wrong.append(f"{len(twice)} maps were published twice: {twice[:3]}")
    if verified.returncode:
        wrong.append(f"verify says: {verified.stdout}")
    if not same:
        wrong.append("the predictions differ")
    if "Traceback" in text:
        wrong.append(f"a traceback: {text[text.index('Traceback') :][:2000]}")
    if killed < given.kills:
        wrong.append(f"only {killed} kills")
    if sum(faults.values()) < LEAST_FAULTS:
        wrong.append(f"only {sum(faults.values())} faults")
    lost = sum(found.get(name) != wanted[name] for name in wanted)
    kinds = [f"{number} {name}" for name, number in sorted(faults.items())]
    per_map = {kind: number / count for kind, number in sorted(before["requests"].items())}
    lines = [
        f"{count} slides, two runs at a time on one store, {killed} killed (SIGKILL) and started again, "
        f"{given.rate:.0%} of all requests going wrong, {failed} runs that gave up and were started again, "
        f"{faulty_s:.0f} s in all:",
        "",
        "| | |",
        "|---|---|",
        f"| faults | {sum(faults.values())}: {', '.join(kinds)} |",
        f"| maps lost, wrong or other than in the folder | {lost} |",
        f"| maps published twice | {len(twice)} |",
        f"| reads of maps meanwhile, and of them half-published | {seen}, {half} |",
        f"| faults found by `histonic verify` | {verified.stdout.strip().rsplit(', ', 1)[-1]} |",
        f"| files that killed runs left, named by no map | {left} |",
        f"| claims left by killed runs | {len(claims)} |",
        f"| predictions of a training on it and on the folder | {'the same' if same else 'other'} bytes |",
        "",
        "Without faults, one run, the start of the program not counted:",
        "",
        "| into | seconds | requests per map | bytes sent per map |",
        "|---|---|---|---|",
        f"| a folder | {local_s:.1f} | | |",
        f"| the S3 server of this machine | {remote_s:.1f} | {sum(per_map.values()):.1f} ("
        + ", ".join(f"{number:.1f} {kind}" for kind, number in per_map.items())
        + f") | {before['bytes']['in'] / count:,.0f} |",
    ]
    return lines, wrong


if __name__ == "__main__":
    sys.exit(main())
