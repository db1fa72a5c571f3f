"""From device, number and precision in the settings to work that runs there, on one process or several."""

from __future__ import annotations

import logging
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, TypeVar

import torch
from lightning_fabric import Fabric
from torch.multiprocessing.spawn import ProcessRaisedException

from histonic.core.errors import HistonicError, SettingsError
from histonic.core.progress import Progress, Silent
from histonic.stages.compress import pick_device

A = TypeVar("A")
PRECISIONS: dict[str, Literal["32-true", "bf16-mixed"]] = {"32": "32-true", "bf16": "bf16-mixed"}
Work = Callable[[Fabric, A, Progress], None]


def make_fabric(device: str, devices: int = 1, precision: str = "32") -> Fabric:
    """The fabric for settings; several devices are processes of their own (on a CPU too).

    Raises:
        SettingsError: The device does not exist here, or there are fewer.
    """
    kind, _, number = pick_device(device).partition(":")
    there = torch.cuda.device_count() if kind == "cuda" else devices
    if devices > there or (number and devices > 1):
        raise SettingsError(
            f"Compute on {devices} devices ({device}).", f"There are {there} here.", "Lower --devices."
        )
    # It tells the precision on every call, in its own words.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    return Fabric(
        accelerator=kind,
        devices=[int(number)] if number else devices,
        strategy="ddp_spawn" if devices > 1 else "auto",
        precision=PRECISIONS[precision],
    )


def run_on(fabric: Fabric, devices: int, work: Work[A], argument: A, progress: Progress) -> None:
    """Do work on the devices of a fabric.

    On several devices ``work`` runs in one new process each, so it and its argument must be picklable,
    and its results have to be left on the disk. The progress of the first process comes back here.

    Args:
        fabric: From :func:`make_fabric`.
        devices: Their number.
        work: A function of a module, called with fabric, argument and progress.
        argument: What it works on.
        progress: Listener to the progress.
    """
    if devices == 1:
        work(fabric, argument, progress)
        return
    messages = multiprocessing.get_context("spawn").SimpleQueue()
    errors: list[HistonicError] = []
    listener = threading.Thread(target=_relay, args=(messages, progress, errors), daemon=True)
    listener.start()
    try:
        # Bound to the function, because fabric takes arguments apart in search of tensors.
        fabric.launch(partial(_work_in_process, work=work, argument=argument, messages=messages))
    except ProcessRaisedException:
        messages.put(None)
        listener.join()
        if errors:
            raise errors[0] from None
        raise
    finally:
        messages.put(None)
        listener.join()


class _Sender:
    """A progress that sends what it is told to the parent process."""

    def __init__(self, messages: Any) -> None:
        self._messages = messages

    def stage(self, name: str, total: int | None = None) -> None:
        self._messages.put(("stage", (name, total)))

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._messages.put(("advance", (steps, note)))

    def say(self, line: str) -> None:
        self._messages.put(("say", (line,)))


def _work_in_process(fabric: Fabric, work: Work[A], argument: A, messages: Any) -> None:
    try:
        work(fabric, argument, _Sender(messages) if fabric.is_global_zero else Silent())
    except HistonicError as error:
        messages.put(("error", (error,)))
        raise


def _relay(messages: Any, progress: Progress, errors: list[HistonicError]) -> None:
    while (message := messages.get()) is not None:
        name, arguments = message
        if name == "error":
            errors.extend(arguments)
        else:
            getattr(progress, name)(*arguments)


@contextmanager
def deterministic() -> Iterator[None]:
    """Ask torch for algorithms that give the same numbers each time, and restore what was asked before."""
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)
