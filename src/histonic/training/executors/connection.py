"""From what a user calls a cluster to a client of it, whose workers can do the work."""

from __future__ import annotations

import json
import logging
import platform
import re
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from histonic.core.errors import ExecutorError, HistonicError, SettingsError
from histonic.core.files import PARTIAL_PREFIX, SIGN, output_error
from histonic.core.processes.owners import Owner
from histonic.core.progress import Progress

if TYPE_CHECKING:
    from distributed import Client

EXTRA = "pip install 'histonic[cluster]'"
PACKAGES = ("histonic", "torch", "numpy", "scipy", "lightning-fabric", "distributed")
"""The numbers depend on their versions, or the talk with the cluster does."""
CONNECT_S = 10.0
WAIT_S = 2.0
GPU = "GPU"
"""The resource by which workers with a GPU are known: ``dask worker --resources GPU=1``."""
ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?[^/\\\s]+:\d+/?|[a-z][a-z0-9+.-]*://\S+")


def connect(cluster: str) -> Client:
    """A client of the cluster that a user named.

    Args:
        cluster: Address of a scheduler, such as ``tcp://10.0.0.1:8786``, or the file that it wrote
            (``--scheduler-file``).

    Raises:
        SettingsError: It is neither, or the extra is not installed.
        ExecutorError: Nobody answers there.
    """
    asked = f"Work on the cluster {cluster}."
    try:
        from distributed import Client
    except ImportError as error:
        raise SettingsError(asked, f"{error.name or 'distributed'} is not installed.", f"{EXTRA}.") from error
    address = _address_of(cluster, asked)
    # What it would print of lost workers is told by the executor, and of a lost scheduler by the error.
    for name in ("distributed", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        return Client(address, timeout=CONNECT_S, set_as_default=False, name="histonic")
    except (OSError, TimeoutError, ValueError, TypeError, RuntimeError, ImportError) as error:
        told = " ".join(f"{error}".split()) or type(error).__name__
        raise ExecutorError(
            asked,
            f"No Dask scheduler answers there within {CONNECT_S:g} s ({told[:300]}).",
            "Start one ('dask scheduler', then 'dask worker ADDRESS --nthreads 1'), and give the address "
            "that it prints, or the file of its --scheduler-file.",
        ) from error


def _address_of(cluster: str, asked: str) -> str:
    """The address itself, or what stands in a scheduler's file."""
    path = Path(cluster)
    if not path.is_file():
        if ADDRESS.fullmatch(cluster):
            return cluster
        raise SettingsError(
            asked,
            "It is neither the address of a scheduler (tcp://HOST:PORT) nor a file.",
            "Give the address that 'dask scheduler' prints, or the file of its --scheduler-file.",
        )
    try:
        address = json.loads(path.read_text(encoding="utf-8"))["address"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            asked,
            f"The file is none that a Dask scheduler wrote ({type(error).__name__}: {error}).",
            "Start 'dask scheduler --scheduler-file FILE', and give that file.",
        ) from error
    return str(address)


def own_versions() -> dict[str, str]:
    """Versions here, of what has to be the same on all workers."""
    return {"Python": _python(platform.python_version()), **{name: version(name) for name in PACKAGES}}


def _python(words: str) -> str:
    """Without the last number: patches change no numbers."""
    return ".".join(words.split(".")[:2])


def require_same_versions(client: Client, asked: str) -> None:
    """Refuse a cluster whose workers would compute otherwise, or cannot compute at all.

    Asked by functions of the standard library, which every worker has.

    Raises:
        ExecutorError: A worker lacks a package or has it in another version; says which.
    """
    found = {"Python": client.run(platform.python_version, on_error="return")}
    for name in PACKAGES:
        found[name] = client.run(version, name, on_error="return")
    for name, mine in own_versions().items():
        for worker, its in found[name].items():
            if isinstance(its, PackageNotFoundError):
                raise ExecutorError(
                    asked,
                    f"The worker {worker} has no {name}; here it is {mine}.",
                    f"Install {name} {mine} where the workers run, and start them from there.",
                )
            if isinstance(its, BaseException):
                raise ExecutorError(
                    asked, f"The worker {worker} does not answer ({its}).", "Start it again."
                ) from its
            if (_python(its) if name == "Python" else its) != mine:
                raise other_version(asked, worker, name, its, mine)


def other_version(asked: str, worker: str, name: str, its: str, mine: str) -> ExecutorError:
    """The error of a worker whose numbers might differ."""
    return ExecutorError(
        asked,
        f"The worker {worker} has {name} {its}; here it is {mine}.",
        "Run both from one environment or image: other versions give other numbers.",
    )


class Sign:
    """A file that workers have to see, so that a folder of the same name on a disk of their own is noticed.

    Args:
        folder: Which they will write to.

    Raises:
        OutputError: The folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder.absolute() / f"{PARTIAL_PREFIX}{Owner.this().token()}{SIGN}"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for left in folder.glob(f"{PARTIAL_PREFIX}*{SIGN}"):
                owner = Owner.of(left.name.removeprefix(PARTIAL_PREFIX))
                if owner is not None and owner.has_ended:
                    left.unlink(missing_ok=True)
            self.path.touch()
        except OSError as error:
            raise output_error(self.path, error) from error

    def remove(self) -> None:
        """Take it away."""
        self.path.unlink(missing_ok=True)


def unseen_paths(paths: Sequence[Path]) -> list[str]:
    """Which paths are not there, for the process that asks."""
    return [path.as_posix() for path in paths if not path.exists()]


def require_seen(client: Client, asked: str, paths: Sequence[Path], sign: Path) -> None:
    """Refuse a cluster with a worker that does not see the files.

    Raises:
        ExecutorError: A worker does not; says which and what.
    """
    for worker, unseen in client.run(unseen_paths, [*paths, sign], on_error="return").items():
        if isinstance(unseen, HistonicError):
            raise unseen
        if isinstance(unseen, BaseException):
            raise ExecutorError(
                asked, f"The worker {worker} does not answer ({unseen}).", "Start it again."
            ) from unseen
        if unseen:
            raise not_seen(asked, worker, unseen[0], sign)


def not_seen(asked: str, worker: str, path: str, sign: Path) -> ExecutorError:
    """The error of a worker without a file."""
    what = f"{sign.parent} as it is here" if path == sign.as_posix() else path
    return ExecutorError(
        asked,
        f"The worker {worker} does not see {what}.",
        "Put it on a disk that all hosts have under the same path; nothing but paths is sent to workers.",
    )


def wait_for_workers(client: Client, cluster: str, progress: Progress) -> None:
    """Wait until there is a worker; those of a batch system may be in its queue for hours."""
    is_told = False
    while not client.nthreads():
        if not is_told:
            progress.say(f"the cluster {cluster} has no workers yet: waiting for the first one")
            is_told = True
        time.sleep(WAIT_S)


def device_of(client: Client, device: str, asked: str) -> str:
    """``cpu`` or ``cuda``: what pieces are done on; auto is cuda where workers offer GPUs.

    Raises:
        SettingsError: A GPU by number is asked for, or a device that does not exist.
        ExecutorError: No worker offers a GPU.
    """
    if device == "cpu":
        return device
    if device not in ("auto", "cuda"):
        raise SettingsError(
            f"{asked[:-1]}, on {device!r}.",
            "Which GPU a worker uses is said where it is started.",
            "Use --device cuda, and start each worker with CUDA_VISIBLE_DEVICES and --resources GPU=1.",
        )
    offers: Mapping[str, Any] = client.run(_resources, on_error="ignore")
    if any(each.get(GPU, 0) for each in offers.values()):
        return "cuda"
    if device == "auto":
        return "cpu"
    raise ExecutorError(
        f"{asked[:-1]}, on GPUs.",
        f"None of its {len(offers)} workers offers one.",
        "Start those that have one with --resources GPU=1, or use --device cpu.",
    )


def _resources(dask_worker: Any) -> dict[str, float]:
    return dict(dask_worker.state.total_resources)
