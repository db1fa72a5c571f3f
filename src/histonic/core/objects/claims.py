"""Claims in an object store: by conditional writes, kept alive by a bounded number of requests.

A claim is one small object ``claims/NAME`` that says whose it is and how often it was renewed. It is made by
a write that fails where there is one already, renewed and taken over by writes that fail where it changed
meanwhile. As on a disk, a claim saves work and no result depends on it. Each held claim costs one request
every ``stale_s / BEATS`` seconds, one to make it and one to give it back.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from histonic.core.claims import CLAIMS_FOLDER, STALE_S, Heart, Held
from histonic.core.errors import HistonicError
from histonic.core.objects.objects import Objects
from histonic.core.processes.owners import Owner

LOOK_S = 5.0
"""Who holds a claim is asked for at most once in so many seconds."""


class Claiming(Protocol):
    """What a run needs of claims, wherever they lie; see :class:`histonic.core.claims.Claims`."""

    def take(self, name: str) -> bool:
        """Claim a part; False if another process holds it."""

    def holder(self, name: str) -> Held | None:
        """Who holds a part."""

    def others(self) -> list[Held]:
        """Living claims of other processes."""

    def release(self, name: str) -> None:
        """Give a part back."""

    def now(self) -> float:
        """The time on the clock that claims are judged by."""


@dataclass
class _Own:
    token: str
    tag: str
    beats: int = 0
    confirmed: float = field(default_factory=time.monotonic)


class ObjectClaims:
    """The claims of one process on the parts of what lies in an object store; a thread keeps them alive.

    Where the store has no conditional writes, every claim is had: there must be one writer per slide.

    Args:
        objects: Where the claims lie, below ``claims/``.
        stale_s: So many seconds without a renewal, and a claim is lost; the same for all who share the place.

    Raises:
        OutputError: Nothing can be written there.
    """

    def __init__(self, objects: Objects, stale_s: float = STALE_S) -> None:
        self._objects = objects
        self._stale_s = stale_s
        self._own: dict[str, _Own] = {}
        self._seen: dict[str, tuple[float, Held | None]] = {}
        self._lock, self._renewing = threading.Lock(), threading.Lock()
        self._heart = Heart(lambda: list(self._own), self._renew, stale_s)
        self.excludes = objects.look_for_conditions(self._key(f"probe-{Owner.this().token()}"))

    def __enter__(self) -> ObjectClaims:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self, name: str) -> bool:
        """Claim a part; False if another process holds it, or did some seconds ago, see :meth:`holder`.

        Raises:
            OutputError: The store cannot be written to.
        """
        if not self.excludes:
            return True
        at, held = self._seen.get(name, (-LOOK_S, None))
        if held is not None and time.monotonic() - at < LOOK_S:
            return False
        mine = _Own(Owner.this().token(), "")
        tag = self._objects.create(self._key(name), self._said(mine)) or self._take_over(name, mine)
        if tag is None:
            return False
        mine.tag = tag
        with self._lock:
            self._own[name] = mine
        self._heart.start()
        return True

    def _take_over(self, name: str, mine: _Own) -> str | None:
        found = self._objects.find(self._key(name))
        if found is None:
            return None  # just released: its result is there, or the next try gets it
        held = _held(name, found.data, self._silence(name))
        if held is not None and held.lives(self._stale_s):
            self._seen[name] = time.monotonic(), held
            return None
        return self._objects.exchange(self._key(name), self._said(mine), found.tag)

    def _silence(self, name: str) -> float:
        """Seconds since the claim was written, both told by the server's clock."""
        listed = [each for each in self._objects.listed(self._key(name)) if each.key == self._key(name)]
        return self._objects.now() - listed[0].modified if listed else 0.0

    def holds(self, name: str) -> bool:
        """Whether a part that was claimed is still this process's own; asks the store."""
        return not self.excludes or (name in self._own and self._renew(name))

    def holder(self, name: str) -> Held | None:
        """Who holds a part; None if nobody does. Asked for at most every few seconds."""
        at, held = self._seen.get(name, (-LOOK_S, None))
        if time.monotonic() - at >= LOOK_S:
            found = self._objects.find(self._key(name))
            held = None if found is None else _held(name, found.data, self._silence(name))
            self._seen[name] = time.monotonic(), held
        return held

    def now(self) -> float:
        """The time on the server's clock."""
        return self._objects.now()

    def others(self) -> list[Held]:
        """Living claims of other processes; those whose owners have ended are taken and given back."""
        prefix, found = self._key(""), []
        for each in self._objects.listed(prefix):
            name = each.key.removeprefix(prefix)
            if name in self._own:
                continue
            body = self._objects.find(each.key)
            held = None if body is None else _held(name, body.data, self._objects.now() - each.modified)
            if held is not None and held.lives(self._stale_s):
                found.append(held)
            elif body is not None and self.excludes and self.take(name):
                self.release(name)
        return found

    def release(self, name: str) -> None:
        """Give a part back; nothing happens if it was lost."""
        with self._lock:
            own = self._own.pop(name, None)
        # After a longer silence another may have taken it over, and a deletion would hit that one's.
        if own is not None and time.monotonic() - own.confirmed < self._stale_s / 2:
            with suppress(HistonicError):
                self._objects.delete(self._key(name))

    def close(self) -> None:
        """Give all parts back."""
        self._heart.stop()
        for name in list(self._own):
            self.release(name)

    def _key(self, name: str) -> str:
        return f"{CLAIMS_FOLDER}/{name}"

    def _said(self, own: _Own) -> bytes:
        told = {"token": own.token, "host": socket.gethostname(), "beats": own.beats}
        return json.dumps(told).encode()

    def _renew(self, name: str) -> bool:
        with self._renewing:
            own = self._own.get(name)
            if own is None:
                return False
            own.beats += 1
            began = time.monotonic()
            try:
                tag = self._objects.exchange(self._key(name), self._said(own), own.tag)
                found = None if tag is not None else self._objects.find(self._key(name))
            except HistonicError:
                return True  # a store that does not answer says nothing about who owns what
            if tag is None:
                held = None if found is None else _held(name, found.data, 0.0)
                if found is not None and held is not None and held.token == own.token:
                    # A renewal before this one took place, though every answer to it was lost.
                    own.tag = found.tag
                    return True
                with self._lock:
                    self._own.pop(name, None)
                return False
            own.tag, own.confirmed = tag, began
            return True


def _held(name: str, data: bytes, silent_s: float) -> Held | None:
    """What a claim says; of one that says nothing that it was silent for ever."""
    try:
        told = json.loads(data)
        return Held(name, str(told["token"]), str(told["host"]), silent_s)
    except (ValueError, KeyError, TypeError):
        return None
