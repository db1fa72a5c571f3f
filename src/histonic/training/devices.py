"""From device, number and precision in the settings to work that runs there, on one process or several."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from histonic.core.errors import HistonicError, SettingsError, TrainingError
from histonic.core.processes.memory import keep_memory
from histonic.core.processes.ranks import Ranks, launched
from histonic.core.progress import Forwarding, Listener, Progress, Silent, heard
from histonic.training.ranks import WAIT, lead_work

if TYPE_CHECKING:
    from lightning_fabric import Fabric

A = TypeVar("A")
PRECISIONS: dict[str, Literal["32-true", "bf16-mixed"]] = {"32": "32-true", "bf16": "bf16-mixed"}
Work = Callable[["Fabric", A, Progress], None]
GPU_NAMES = ("gpu", "nvidia", "cuda", "cudnn")
"""What people call a GPU; here it is cuda."""


def make_fabric(device: str, devices: int = 1, precision: str = "32") -> Fabric:
    """The fabric for settings; several devices are processes of their own (on a CPU too).

    Raises:
        SettingsError: The device does not exist here, or there are fewer.
    """
    from lightning_fabric import Fabric  # More than a second.

    kind, _, number = pick_device(device).partition(":")
    if (ranks := launched()) is not None and devices == ranks.world:
        return _fabric_of_ranks(ranks, kind, precision)
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


def _fabric_of_ranks(ranks: Ranks, kind: str, precision: str) -> Fabric:
    """The fabric of a process among those that torchrun started, each with a device of its own."""
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    if kind == "cuda" and torch.cuda.device_count() < ranks.here:
        raise SettingsError(
            f"Train with {ranks.here} processes of torchrun on this host.",
            f"It has {torch.cuda.device_count()} GPUs.",
            "Lower --nproc-per-node.",
        )
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    return Fabric(
        accelerator=kind,
        devices=ranks.here,
        num_nodes=ranks.hosts,
        # The others meet the first one when it has read its tiles, perhaps hours later.
        strategy=DDPStrategy(timeout=WAIT),
        precision=PRECISIONS[precision],
    )


class SingleDevice:
    """What predicting asks of a fabric, for the CPU of this process; it costs no import of one."""

    world_size = 1
    global_rank = 0

    def to_device(self, tensor: Tensor) -> Tensor:
        """The tensor, which is there already."""
        return tensor

    def all_gather(self, tensor: Tensor) -> Tensor:
        """``(1, ...)``, of the only process there is."""
        return tensor[None]

    def autocast(self) -> AbstractContextManager[None]:
        """Nothing: single precision."""
        return nullcontext()


def run_on(fabric: Fabric, devices: int, work: Work[A], argument: A, progress: Progress) -> None:
    """Do work on the devices of a fabric.

    On several devices ``work`` runs in the processes that torchrun started, or in one new process each, so it
    and its argument must be picklable, and its results have to be left on the disk. The progress of the first
    process comes back here.

    Args:
        fabric: From :func:`make_fabric`.
        devices: Their number.
        work: A function of a module, called with fabric, argument and progress.
        argument: What it works on.
        progress: Listener to the progress.

    Raises:
        HistonicError: Of the first process that raised one; the others are ended.
        TrainingError: A process was killed, such as for want of memory.
    """
    if devices == 1:
        work(fabric, argument, progress)
        return
    if launched() is not None:
        lead_work(fabric, work, argument, progress)
        return
    messages = multiprocessing.get_context("spawn").SimpleQueue()
    errors: list[Exception] = []
    listener = threading.Thread(target=_relay, args=(messages, heard(progress), errors), daemon=True)
    listener.start()
    others = multiprocessing.active_children()
    try:
        # Bound to the function, because fabric takes arguments apart in search of tensors.
        fabric.launch(partial(_work_in_process, work=work, argument=argument, messages=messages))
    except ProcessRaisedException:
        messages.put(None)
        listener.join()
        if errors:
            raise errors[0] from None
        raise
    except ProcessExitedException as ended:
        raise TrainingError(
            f"Train on {devices} devices.",
            f"The process of one of them ended with exit code {ended.exit_code}.",
            "If memory ran out, give the same command with a smaller --batch; it goes on from there.",
        ) from ended
    finally:
        # Those of an interrupted training are still at work, and the end of this process would wait for them.
        for process in multiprocessing.active_children():
            if process not in others:
                process.terminate()
                process.join()
        messages.put(None)
        listener.join()


class _Sender(Forwarding):
    """A listener that sends what it is told to the parent process."""

    def __init__(self, messages: Any) -> None:
        self._messages = messages

    def pass_on(self, name: str, *words: Any) -> None:
        self._messages.put((name, words))


def _work_in_process(fabric: Fabric, work: Work[A], argument: A, messages: Any) -> None:
    try:
        work(fabric, argument, _Sender(messages) if fabric.is_global_zero else Silent())
    except HistonicError as error:
        messages.put(("error", (error,)))
        raise
    # A process that ends while still connected to the others is now and then aborted, with all work done.
    fabric.barrier()
    torch.distributed.destroy_process_group()


def _relay(messages: Any, listener: Listener, errors: list[Exception]) -> None:
    while (message := messages.get()) is not None:
        name, arguments = message
        if name == "error":
            errors.extend(arguments)
        else:
            getattr(listener, name)(*arguments)


@contextmanager
def deterministic() -> Iterator[None]:
    """Ask torch for algorithms that give the same numbers each time, and restore what was asked before."""
    # Batches are made in a thread.
    keep_memory(heaps=1)
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)


def pick_device(device: str) -> str:
    """``auto`` becomes cuda where there is one, else cpu.

    Raises:
        SettingsError: The device does not exist here; says why, and what it is called.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = device.partition(":")
    if device == "cpu":
        return device
    asked = f"Compute on {device!r}."
    if kind != "cuda" or (number and not number.isdecimal()):
        wanted = f"cuda:{device}" if device.isdecimal() else "cuda" if kind.lower() in GPU_NAMES else "auto"
        raise SettingsError(
            asked,
            "There is no such device here: the names are auto, cpu, cuda and cuda:NUMBER.",
            f"Use --device {wanted}.",
        )
    if not torch.cuda.is_available():
        raise SettingsError(asked, _why_no_gpu(), "Use --device cpu, or leave it out (auto).")
    count = torch.cuda.device_count()
    if number and int(number) >= count:
        raise SettingsError(
            asked,
            f"There is no such device here: PyTorch sees {count} GPU(s), cuda:0 to cuda:{count - 1}.",
            "Use --device cuda.",
        )
    return device


def _why_no_gpu() -> str:
    """Why PyTorch has no GPU to offer."""
    if not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        return (
            f"There is no such device here: this PyTorch ({torch.__version__}) is built without CUDA "
            "(https://pytorch.org tells how to install one that has it)."
        )
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hidden = "" if visible is None else f"; CUDA_VISIBLE_DEVICES is {visible!r}"
    return f"There is no such device here: PyTorch sees no NVIDIA GPU with a driver{hidden}."
