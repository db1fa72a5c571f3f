"""Claims: which process works on what, so that any number of them on one or many hosts share a folder.

A claim saves work, and no result depends on it: results are published whole by one rename, and who comes
second throws its copy away. Claims need no locks of the file system. A claim is a folder ``claims/NAME`` that
holds one file, named by the token of its owner; it appears by a rename, which only one process can win. The
owner touches the file again and again. A claim whose owner has ended, or was silent for too long by the
clock of the file system, is taken over by renaming that file, which again only one can win, and by which a
suspended owner that wakes up sees that it has lost the claim.
"""

from __future__ import annotations

import math
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from histonic.core.errors import RunError
from histonic.core.files import PARTIAL_PREFIX, output_error, require_writable_folder
from histonic.core.processes.owners import Owner

CLAIMS_FOLDER = "claims"
STALE_S = 120.0
"""An owner that was silent for so many seconds has lost its claim; network file systems show a touch late."""
BEATS = 6
"""Touches in that time."""
TRIES = 100
WHOLE = "all"
"""The claim on a whole folder."""


@dataclass(frozen=True)
class Held:
    """A claim: its name, who holds it, and for how many seconds the owner has been silent."""

    name: str
    token: str
    host: str
    silent_s: float

    def lives(self, stale_s: float) -> bool:
        """Whether its owner is at work, as far as can be seen from here."""
        owner = Owner.of(self.token)
        return self.silent_s <= stale_s and not (owner is not None and owner.has_ended)

    def __str__(self) -> str:
        owner = Owner.of(self.token)
        process = f"process {owner.pid}" if owner is not None else "a process"
        return f"{process} on {self.host or 'another host'}"


class Heart:
    """Keeps claims alive, wherever they lie, by a thread.

    Args:
        held: Names of those that this process holds.
        renew: Renews one.
        stale_s: See :data:`STALE_S`.
    """

    def __init__(self, held: Callable[[], list[str]], renew: Callable[[str], object], stale_s: float) -> None:
        self._held = held
        self._renew = renew
        self._every_s = stale_s / BEATS
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to beat; nothing happens if it does already."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="claims", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End, after the beat that is under way."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(self._every_s):
            for name in self._held():
                self._renew(name)


class Claims:
    """The claims of one process on the parts of a folder; a thread keeps them alive.

    Args:
        folder: What is shared: a store or a run.
        stale_s: See :data:`STALE_S`; all processes of one folder must use the same.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with Claims(Path(folder)) as mine, Claims(Path(folder)) as other:
        ...         mine.take("a"), other.take("a"), other.take("b"), mine.holds("a")
        (True, False, True, True)
    """

    def __init__(self, folder: Path, stale_s: float = STALE_S) -> None:
        self._folder = folder / CLAIMS_FOLDER
        self._stale_s = stale_s
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()
        self._heart = Heart(lambda: list(self._tokens), self._touch, stale_s)
        self._clock: tuple[float, float] | None = None

    def __enter__(self) -> Claims:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self, name: str) -> bool:
        """Claim a part; False if another process holds it, see :meth:`holder`.

        Args:
            name: A file name.

        Raises:
            OutputError: The folder cannot be written to.
        """
        token = Owner.this().token()
        try:
            # Looked at first: of most parts that another process holds, that is one listing.
            held = self.holder(name)
            won = self._make(name, token) if held is None else self._take_over(held, token)
        except OSError as error:
            raise output_error(self._folder / name, error) from error
        if won:
            with self._lock:
                self._tokens[name] = token
            self._heart.start()
        return won

    def holds(self, name: str) -> bool:
        """Whether a part that was claimed is still this process's own; False after it was taken over."""
        return name in self._tokens and self._touch(name)

    def holder(self, name: str) -> Held | None:
        """Who holds a part; None if nobody does."""
        for path in self._files(name):
            with suppress(OSError):
                silent = self._now_about() - path.stat().st_mtime
                return Held(name, path.name, path.read_text(encoding="utf-8", errors="replace"), silent)
        return None

    def _now_about(self) -> float:
        """As :meth:`now`, without asking the file system each time.

        Where this process was suspended with its whole machine it is behind, so that no owner loses its claim
        too early.
        """
        at, then = self._clock or (-math.inf, 0.0)
        if time.monotonic() - at > self._stale_s / BEATS:
            at, then = time.monotonic(), self.now()
            self._clock = at, then
        return then + time.monotonic() - at

    def now(self) -> float:
        """The time on the clock of the file system, which may run on another host."""
        probe = self._folder.with_name(f"{PARTIAL_PREFIX}{Owner.this().token()}")
        try:
            probe.touch()
            return probe.stat().st_mtime
        except OSError as error:
            raise output_error(probe, error) from error
        finally:
            with suppress(OSError):
                probe.unlink()

    def others(self) -> list[Held]:
        """All claims of other processes that are alive; those of processes that ended are removed."""
        names = [path.name for path in self._folder.iterdir()] if self._folder.is_dir() else []
        found = []
        for name in names:
            held = None if name in self._tokens else self.holder(name)
            if held is not None and held.lives(self._stale_s):
                found.append(held)
            elif name not in self._tokens and self.take(name):
                self.release(name)
        return found

    def release(self, name: str) -> None:
        """Give a part back; nothing happens if it was lost."""
        with self._lock:
            token = self._tokens.pop(name, None)
        if token is not None:
            with suppress(OSError):
                (self._folder / name / token).unlink()
                (self._folder / name).rmdir()

    def close(self) -> None:
        """Give all parts back."""
        self._heart.stop()
        for name in list(self._tokens):
            self.release(name)
        with suppress(OSError):
            self._folder.rmdir()  # fails while others hold claims

    def _make(self, name: str, token: str) -> bool:
        """Let ``claims/NAME`` appear with the token in it; False if it is there already."""
        partial = self._folder.with_name(f"{PARTIAL_PREFIX}{token}")
        partial.mkdir(parents=True)
        try:
            (partial / token).write_text(socket.gethostname(), encoding="utf-8")
            for _ in range(TRIES):
                self._folder.mkdir(exist_ok=True)
                with suppress(FileNotFoundError):  # another process gave its last claim back in between
                    # A folder takes the place of an empty one, never of one with a file in it.
                    os.rename(partial, self._folder / name)
                    return True
        except OSError:
            if not (self._folder / name).is_dir():
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return False

    def _take_over(self, held: Held, token: str) -> bool:
        if held.lives(self._stale_s):
            return False
        mine = self._folder / held.name / token
        try:
            os.rename(self._folder / held.name / held.token, mine)
        except FileNotFoundError:
            return False
        mine.write_text(socket.gethostname(), encoding="utf-8")
        return True

    def _files(self, name: str) -> list[Path]:
        try:
            return list((self._folder / name).iterdir())
        except OSError:
            return []

    def _touch(self, name: str) -> bool:
        with self._lock:
            token = self._tokens.get(name)
        try:
            if token is not None:
                os.utime(self._folder / name / token)
                return True
        except FileNotFoundError:
            with self._lock:
                self._tokens.pop(name, None)
        except OSError:
            return True  # a disk that does not answer says nothing about who owns what
        return False


@contextmanager
def sole_owner(folder: Path, asked: str) -> Iterator[None]:
    """Hold a folder in which only one process may work; a folder that is left empty is removed.

    Args:
        folder: Made if it is absent.
        asked: What the process wants to do there, for the message.

    Raises:
        RunError: Another process works there; says which.
        OutputError: The folder cannot be written to.
    """
    require_writable_folder(folder)
    try:
        with Claims(folder) as claims:
            if not claims.take(WHOLE):
                held = claims.holder(WHOLE)
                raise RunError(
                    asked,
                    f"Another run works there: {held or 'it has just ended'}"
                    + (f", {held.silent_s:.0f} s after its last sign of life." if held else "."),
                    "Wait until it has ended, or end it; the same command then goes on. "
                    f"If it runs no more, wait for {STALE_S:.0f} s.",
                )
            yield
    finally:
        with suppress(OSError):
            folder.rmdir()
