"""What the simulations share: a folder that holds images of one kind, and processes that make them."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

from histonic.core.errors import OutputError, SettingsError
from histonic.core.files import require_writable_folder, write_json
from histonic.core.processes.cores import usable_cores
from histonic.core.progress import Progress

J = TypeVar("J")
NOTE = "simulation.json"
JOBS_AT_ONCE = 8


def claim(out: Path, kind: str, settings: dict[str, Any]) -> None:
    """Note in the folder what it holds, so that a later call cannot mix in other images.

    Args:
        out: The folder; it is made.
        kind: Of the simulation.
        settings: Those that decide what an image shows; plain values.

    Raises:
        SettingsError: It holds others.
        OutputError: It cannot be written to.
    """
    require_writable_folder(out)
    path, wanted = out / NOTE, {"kind": kind, **settings}
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = None
        if found != wanted:
            known = found if isinstance(found, dict) else {}
            told = _differences(known, wanted) or ["a damaged note"]
            can_go_on = known.get("kind") == kind and wanted.keys() <= known.keys()
            todo = "Give the values of the folder to go on with it, choose" if can_go_on else "Choose"
            raise SettingsError(
                f"Simulate {kind} in {out}.",
                f"The folder holds others; different: {', '.join(told)}.",
                f"{todo} another folder, or delete this one.",
            )
    write_json(path, wanted)


def _differences(known: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What was noted and what is wanted now; defaults may have changed in between."""
    found = []
    for key, value in wanted.items():
        if key not in known:
            found.append(f"{key} (there not set, here {_said(value)})")
        elif known[key] != value:
            found.append(f"{key} (there {_said(known[key])}, here {_said(value)})")
    return found


def _said(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def make_all(
    make: Callable[[J], str],
    jobs: Sequence[J],
    processes: int | None,
    progress: Progress,
    *,
    at_once: int = JOBS_AT_ONCE,
) -> None:
    """Do jobs in processes of their own; each says what it made.

    Args:
        make: A function of a module, with a job that can be sent to a process.
        jobs: What is to be done.
        processes: At the same time; None: as many as there are cores.
        progress: Advanced by one for each job.
        at_once: Jobs that a process is given at a time.
    """
    workers = min(processes or usable_cores(), -(-len(jobs) // at_once))
    if workers < 2:
        for job in jobs:
            progress.advance(note=make(job))
        return
    # Spawned, not forked: a fork of a process that holds threads of other libraries may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _ignore_interruptions) as pool:
        try:
            for name in pool.map(make, jobs, chunksize=at_once):
                progress.advance(note=name)
        except BrokenProcessPool as error:
            raise OutputError(
                "Work in several processes.",
                "One of them was ended from outside, mostly because memory ran out.",
                "Give the same command with fewer --processes; what is finished is kept.",
            ) from error
        except BaseException:
            workers_now = list((pool._processes or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            # A job may take minutes, and what it writes appears whole or not at all.
            for worker in workers_now:
                worker.terminate()
            raise


def _ignore_interruptions() -> None:
    """Ctrl-C reaches all processes of a terminal; the parent tells it to the user and ends its pool."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
