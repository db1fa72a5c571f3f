"""From device, number and precision in the settings to work that runs there, on one process or several."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from multiprocessing.connection import Connection, wait
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

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
TODO = "If memory ran out, give the same command with a smaller --batch; it goes on from there."
LOST = "Connection closed by peer"
"""What gloo says in a process when another one has ended."""
GRACE_S = 10.0
END_S = 30.0
"""So long a process may take to end when it is told to; then it is killed. As long a listener may go on."""
INTERRUPTED = 130
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
        BaseException: What the listener raised to end the work, such as KeyboardInterrupt.
        TrainingError: A process ended before its time, such as for want of memory; says which, and how.
    """
    if devices == 1:
        work(fabric, argument, progress)
        return
    if launched() is not None:
        lead_work(fabric, work, argument, progress)
        return
    pipes = [multiprocessing.get_context("spawn").Pipe(duplex=False) for _ in range(devices)]
    relay = Relay([receiver for receiver, _ in pipes], heard(progress))
    senders = [sender for _, sender in pipes]
    others = multiprocessing.active_children()
    asked = f"Train on {devices} devices."
    try:
        # Bound to the function, because fabric takes arguments apart in search of tensors.
        fabric.launch(partial(_work_in_process, work=work, argument=argument, senders=senders))
        relay.finish(senders)
    except ProcessRaisedException as raised:
        relay.finish(senders)
        if LOST in str(raised):
            raise TrainingError(
                asked, f"The process of rank {raised.error_index} lost its connection to the others.", TODO
            ) from raised
        raise
    except ProcessExitedException as ended:
        # One that told why it ends may be overtaken by another, which only lost its company.
        relay.finish(senders)
        raise TrainingError(asked, _how_it_ended(ended), TODO) from ended
    finally:
        # Those of an interrupted training are still at work, and the end of this process would wait for them.
        for process in multiprocessing.active_children():
            if process not in others:
                process.terminate()
                process.join(END_S)
                process.kill()
                process.join()
        # After an interruption only; a slow listener does not keep it waiting for ever.
        relay.close(senders, END_S)


def _how_it_ended(ended: ProcessExitedException) -> str:
    how = f"by the signal {ended.signal_name}" if ended.signal_name else f"with exit code {ended.exit_code}"
    return f"The process of rank {ended.error_index} ended {how}."


class Relay:
    """Passes on what other processes say, each by a pipe of its own, until all have ended.

    In a queue that they share, one that is killed while it speaks would keep the lock of all, this process's
    too, and half a message would be waited for as long as any of them could end it.

    Args:
        receivers: Ends of the pipes.
        listener: Hears what is said.

    Attributes:
        errors: Those that processes told before they ended, or that the listener raised, by which it ends.
    """

    def __init__(self, receivers: Sequence[Connection], listener: Listener) -> None:
        self.errors: list[BaseException] = []
        self._receivers = receivers
        self._listener = listener
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self, senders: Sequence[Connection], within_s: float | None = None) -> None:
        """Hear what is still on its way, once all other processes have ended.

        Args:
            senders: The other ends, as far as this process holds them.
            within_s: Seconds for it; None: until the listener has heard all.
        """
        for sender in senders:
            sender.close()
        self._thread.join(within_s)

    def finish(self, senders: Sequence[Connection]) -> None:
        """The same, and raise what was told or raised first.

        Args:
            senders: See :meth:`close`.

        Raises:
            BaseException: The first of the errors.
        """
        self.close(senders)
        if self.errors:
            raise self.errors[0] from None

    def _listen(self) -> None:
        left = list(self._receivers)
        while left:
            for receiver in cast("list[Connection]", wait(left)):
                try:
                    name, arguments = receiver.recv()
                # It has ended, perhaps in the middle of a message.
                except (EOFError, OSError, UnpicklingError):
                    left.remove(receiver)
                    continue
                if name == "error":
                    self.errors.extend(arguments)
                    continue
                try:
                    getattr(self._listener, name)(*arguments)
                # Also KeyboardInterrupt, by which a listener stops a run: raised where it is waited for.
                except BaseException as error:  # noqa: BLE001
                    self.errors.append(error)
                    for each in self._receivers:
                        each.close()  # who speaks next ends, too
                    return


class _Sender(Forwarding):
    """A listener that sends what it is told to the parent process; threads may share it."""

    def __init__(self, sender: Connection) -> None:
        self._sender = sender
        self._lock = threading.Lock()

    def pass_on(self, name: str, *words: Any) -> None:
        with self._lock:
            self._sender.send((name, words))


def _work_in_process(fabric: Fabric, work: Work[A], argument: A, senders: Sequence[Connection]) -> None:
    sender = _Sender(senders[fabric.global_rank])
    for other in senders:
        if other is not senders[fabric.global_rank]:
            other.close()  # so that it ends with its own process
    try:
        work(fabric, argument, sender if fabric.is_global_zero else Silent())
        # A process that ends while still connected to the others is now and then aborted, with all work done.
        fabric.barrier()
    except HistonicError as error:
        sender.pass_on("error", error)
        raise
    except (KeyboardInterrupt, SystemExit):
        # Else it would end as if all were done, and its results be waited for.
        os._exit(INTERRUPTED)
    except RuntimeError as error:
        if LOST in str(error):
            # The one that ended is to be noticed first, and named.
            time.sleep(GRACE_S)
        raise
    torch.distributed.destroy_process_group()


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
