"""Steps a second of slide training: histonic's loop, a plain DataLoader, and the arithmetic alone.

    python benchmarks/train_speed.py --scratch SCRATCH [--before SRC] [--precision bf16]

Maps of 128 x 400 x 400, half of each tissue. Every way is a process of its own that waits while another one
works; they take turns, `--rounds` times. `--before` names the `src` folder of another version (such as of
`git worktree add`), which is then measured in the same turns.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

SIDE, CODE_SIZE, BATCH, CROP = 400, 128, 16, 400
WAYS = ("histonic", "loader", "floor")
OWN_SOURCE = Path(__file__).resolve().parents[1] / "src"


def make_store(folder: Path, maps: int) -> None:
    """A store of maps, and beside it the same arrays as a script would keep them."""
    import numpy as np

    from histonic.core.compressed import CompressedSlide, SlideDescription
    from histonic.core.grid import TileGrid
    from histonic.data.maps.writer import write_map
    from histonic.encoders.base import describe, load_encoder

    encoder = describe(load_encoder("histonic-mtl"))
    rng = np.random.default_rng(0)
    grid = TileGrid.over((SIDE * 128, SIDE * 128), slide_mpp=0.5, tile_px=128, mpp=0.5)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    mask = np.hypot(x, y) < 0.4 * SIDE
    (folder / "arrays").mkdir(parents=True, exist_ok=True)
    for number in range(maps):
        name = f"s{number:03d}"
        if (folder / "arrays" / f"{name}.npy").is_file():
            continue
        codes = (rng.standard_normal((CODE_SIZE, SIDE, SIDE), np.float32) * mask).astype(np.float16)
        slide = CompressedSlide(name, codes, mask, grid, encoder, SlideDescription(fingerprint=name))
        write_map(folder / "store" / f"{name}.zarr", slide)
        np.save(folder / "arrays" / "mask.npy", mask)
        np.save(folder / "arrays" / f"{name}.npy", codes)


def build(aggregator: str, side: int) -> Any:
    """The network of every way."""
    import torch

    from histonic.aggregators.base import build_model
    from histonic.core.task import Task

    torch.manual_seed(0)
    task = Task("score", "regression", ("score",))
    return build_model(aggregator, code_size=CODE_SIZE, crop_cells=side, tasks=(task,)).train()


def histonic_steps(folder: Path, aggregator: str, precision: str, steps: int) -> Callable[[], float]:
    """The loop of `histonic train`, without validation; the mean loss of its last epoch comes back."""
    import numpy as np

    from histonic.core.cohort import Cohort, Patient
    from histonic.core.progress import Silent
    from histonic.core.task import Task
    from histonic.data.maps.memory import Maps
    from histonic.data.maps.store import Store
    from histonic.stages.train.draws import BalancedDraws
    from histonic.stages.train.networks import LEAST_CROP_CELLS, MARGIN_CELLS
    from histonic.stages.train.training_data import SlideTrainingData
    from histonic.training import loop
    from histonic.training.devices import deterministic, make_fabric
    from histonic.training.schedule import Schedule

    loop.NORM_BATCHES = 0
    store = Store.open(folder / "store")
    maps = Maps({name: store.map(name) for name in store.slide_ids}, Silent())
    side = min(CROP, max(maps.largest_side() + MARGIN_CELLS, LEAST_CROP_CELLS))
    rng = np.random.default_rng(1)
    task = Task("score", "regression", ("score",))
    patients = tuple(Patient(name, (name,), "", {"score": float(rng.normal())}) for name in store.slide_ids)
    cohort = Cohort((task,), patients)
    targets = {"score": cohort.targets(task, patients)}
    model = build(aggregator, side)
    data = SlideTrainingData(
        cohort,
        patients,
        patients[:2],
        maps=maps,
        model=model,
        draws=BalancedDraws(cohort.tasks, targets, BATCH),
        crop_cells=side,
        keys=(0,),
        test_crops=1,
    )
    data.steps = steps
    fabric = make_fabric("cpu", precision=precision)
    training = loop.Training(model, data, Schedule(1e-3), fabric=fabric, keys=(0,), name="speed")

    def work() -> float:
        with deterministic():
            return training._learn(1)

    return work


def loader_steps(folder: Path, aggregator: str, precision: str, steps: int) -> Callable[[], float]:
    """What a script does: a whole map from its file, a crop, a turn, float32, two workers, collated."""
    import numpy as np
    import torch
    from torch.utils.data import DataLoader, Dataset

    mask = np.load(folder / "arrays" / "mask.npy")
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(cols[0])
    side = min(CROP, max(int(rows[-1]) - top, int(cols[-1]) - left) + 1 + 4)
    names = sorted(path for path in (folder / "arrays").glob("s*.npy"))

    class Crops(Dataset[Any]):
        def __len__(self) -> int:
            return steps * BATCH

        def __getitem__(self, place: int) -> tuple[torch.Tensor, torch.Tensor, float]:
            rng = np.random.default_rng(place)
            codes = np.load(names[place % len(names)])
            row, col = (start - int(rng.integers(0, 5)) for start in (top, left))
            turn = int(rng.integers(4))
            window = slice(row, row + side), slice(col, col + side)
            crop = np.rot90(codes[:, *window].astype(np.float32), turn, (1, 2)).copy()
            tissue = np.rot90(mask[window], turn).astype(np.float32)
            return torch.from_numpy(crop), torch.from_numpy(tissue), float(rng.normal())

    model = build(aggregator, side)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def work() -> float:
        loss = torch.zeros(())
        for codes, tissue, target in DataLoader(Crops(), BATCH, num_workers=2):
            with autocast(precision):
                loss = (model(codes, tissue)["score"][:, 0] - target.float()).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    return work


def floor_steps(folder: Path, aggregator: str, precision: str, steps: int) -> Callable[[], float]:
    """Forward, backward and step of one batch that lies in memory."""
    import numpy as np
    import torch

    from histonic.core.processes.memory import keep_memory
    from histonic.data.maps import memory

    keep_memory()
    mask = np.load(folder / "arrays" / "mask.npy")
    rows = np.flatnonzero(mask.any(axis=1))
    side = min(CROP, len(rows) + 4)
    window = slice(int(rows[0]) - 2, int(rows[0]) - 2 + side)
    names = sorted((folder / "arrays").glob("s*.npy"))
    codes = torch.from_numpy(np.stack([np.load(name)[:, window, window] for name in names[:BATCH]]))
    tissue = torch.from_numpy(np.stack([mask[window, window].astype(np.float32)] * len(codes)))
    if hasattr(memory, "CellCodes"):  # the order in memory that the network of this version is fastest with
        codes = codes.contiguous(memory_format=torch.channels_last)
    model = build(aggregator, side)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def work() -> float:
        loss = torch.zeros(())
        for _ in range(steps):
            with autocast(precision):
                loss = model(codes, tissue)["score"].square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    return work


def autocast(precision: str) -> Any:
    import torch

    return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()


def serve(folder: Path, way: str, aggregator: str, precision: str, steps: int) -> None:
    """Work whenever a line comes in; answer with seconds, those of all cores, and the peak of memory, GiB."""
    make = {"histonic": histonic_steps, "loader": loader_steps, "floor": floor_steps}[way]
    work = make(folder, aggregator, precision, steps)
    for _ in sys.stdin:
        begun, spent = time.perf_counter(), _cpu_seconds()
        work()
        print(time.perf_counter() - begun, _cpu_seconds() - spent, _peak_gib(), flush=True)


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _peak_gib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20


def start(arguments: argparse.Namespace, way: str, aggregator: str, source: Path) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--scratch", str(arguments.scratch), "--steps", str(arguments.steps)]
    command += ["--precision", arguments.precision, "--one", way, aggregator]
    threads = {"OMP_NUM_THREADS": str(arguments.threads)} if arguments.threads else {}
    environment = {**os.environ, "PYTHONPATH": str(source), **threads}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def ask(process: subprocess.Popen[str]) -> tuple[float, ...]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("A process without pipes.")
    process.stdin.write("go\n")
    process.stdin.flush()
    return tuple(float(text) for text in process.stdout.readline().split())


def columns(arguments: argparse.Namespace) -> Iterator[tuple[str, str, Path]]:
    """Name, way and source of what is measured."""
    if arguments.before is not None:
        yield from (("before", "histonic", arguments.before), ("floor before", "floor", arguments.before))
    yield from ((way, way, OWN_SOURCE) for way in arguments.ways.split(","))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--before", type=Path, help="src folder of another version")
    parser.add_argument("--aggregators", default="convnet,abmil")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--precision", default="32", choices=("32", "bf16"))
    parser.add_argument("--maps", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4, help="of a turn")
    parser.add_argument("--threads", type=int, help="of the arithmetic; by default all cores")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "AGGREGATOR"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        serve(arguments.scratch, *arguments.one, arguments.precision, arguments.steps)
        return
    make_store(arguments.scratch, arguments.maps)
    titles = "steps/s, median (range) | of the floor | CPU s a step | of the floor | peak memory, GiB"
    print(f"| aggregator | precision | way | {titles} |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for aggregator in arguments.aggregators.split(","):
        ways = list(columns(arguments))
        running = {name: start(arguments, way, aggregator, source) for name, way, source in ways}
        found: dict[str, list[tuple[float, ...]]] = {name: [] for name in running}
        for turn in range(arguments.rounds + 1):
            for name, process in running.items():
                result = ask(process)
                if turn:  # the first one warms up
                    found[name].append(result)
        for process in running.values():
            process.communicate()
        rates = {name: [arguments.steps / each[0] for each in results] for name, results in found.items()}
        spent = {
            name: statistics.median(each[1] for each in results) / arguments.steps
            for name, results in found.items()
        }
        floor = statistics.median(rates["floor"])
        for name, each in rates.items():
            middle = statistics.median(each)
            print(
                f"| {aggregator} | {arguments.precision} | {name} "
                f"| {middle:.3f} ({min(each):.3f} to {max(each):.3f}) | {middle / floor:.0%} "
                f"| {spent[name]:.2f} | {spent['floor'] / spent[name]:.0%} "
                f"| {max(each[2] for each in found[name]):.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
