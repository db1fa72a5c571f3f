"""Objects below a URL: read, listed and written patiently, and words for what a server refuses."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from histonic.core.errors import HistonicError, ObjectStoreError, OutputError, StoreError
from histonic.core.objects.answers import (
    EXTRA,
    LASTING,
    PACKAGES,
    code_of,
    is_named,
    kind_of_error,
    status_of,
)
from histonic.core.objects.systems import ConditionFailed, Found, Listed, System, system_of
from histonic.core.places.urls import Url

TRIES, WAIT_S, MOST_WAIT_S = 7, 0.25, 8.0
"""Requests for one thing, the pause after the first, which doubles, and the longest: 16 s in all."""
REQUESTS_AT_A_TIME = 8
A = TypeVar("A")
B = TypeVar("B")


class Objects:
    """What lies below a URL; threads may share it.

    Args:
        url: ``s3://bucket/prefix``, ``gs://bucket/prefix`` or ``http(s)://host/prefix``.
        system: What answers; by default that of the URL.
        wait_s: Pause after the first failure.

    Attributes:
        url: As given.
        asked: Requests by kind: get, put, list, delete, and ``again`` for those asked once more.
        sent: Bytes written.
        got: Bytes read.

    Raises:
        StoreError: The scheme is not known, or its package not installed.

    Example:
        >>> objects = Objects(Url("memory://example/store"))
        >>> tag = objects.put("maps/a.json", b"1")
        >>> objects.read("maps/a.json"), objects.find("b")
        (b'1', None)
        >>> [each.key for each in objects.listed("maps/")]
        ['maps/a.json']
    """

    def __init__(self, url: Url, system: System | None = None, wait_s: float = WAIT_S) -> None:
        self.url = url
        self.asked: Counter[str] = Counter()
        self.sent = self.got = 0
        self._system = system or _opened(url)
        self._wait_s = wait_s
        self._has_conditions = self._system.has_conditions
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return str(self.url)

    @property
    def has_conditions(self) -> bool:
        """Whether writes can be made conditional, as far as is known: see :meth:`look_for_conditions`."""
        return self._has_conditions

    @property
    def can_list(self) -> bool:
        """Whether it says which objects there are."""
        return self._system.can_list

    def now(self) -> float:
        """The time on the server's clock."""
        return self._system.now()

    def require_writable(self) -> None:
        """Refuse what is only read.

        Raises:
            OutputError: It is http.
        """
        if not self._system.is_writable:
            raise self._refused(
                "put", f"Over {self.url.scheme} stores are only read.", "Write to s3:// or into a folder."
            )

    def find(self, key: str) -> Found | None:
        """An object, or None.

        Raises:
            ObjectStoreError: It cannot be had.
        """
        found = self._patiently("get", lambda _: self._system.get(key))
        self.got += len(found.data) if found else 0
        return found

    def read(self, key: str) -> bytes:
        """The bytes of an object.

        Raises:
            StoreError: It is not there, or (ObjectStoreError) cannot be had.
        """
        found = self.find(key)
        if found is None:
            raise StoreError(f"Read {self.url}.", f"There is no object {key!r} below it.", "Check the URL.")
        return found.data

    def put(self, key: str, data: bytes) -> str:
        """Write an object, whatever is there.

        Returns:
            Its tag.

        Raises:
            OutputError: It cannot be written.
        """
        self.sent += len(data)
        return self._patiently("put", lambda _: self._system.put(key, data))

    def create(self, key: str, data: bytes) -> str | None:
        """Write an object where there is none.

        Args:
            key: Its key.
            data: No other writer may write the same, for by it is known whose an object is when the answer to
                a write was lost.

        Returns:
            Its tag; None if there is one already.

        Raises:
            OutputError: It cannot be written.
        """
        return self._conditional(key, data, lambda: self._system.put(key, data, absent=True))

    def exchange(self, key: str, data: bytes, tag: str) -> str | None:
        """Write an object over the one with a tag.

        Args:
            key: Its key.
            data: As of :meth:`create`.
            tag: Of the object that is there.

        Returns:
            The new tag; None if that object is no longer there.

        Raises:
            OutputError: It cannot be written.
        """
        return self._conditional(key, data, lambda: self._system.put(key, data, tag=tag))

    def _conditional(self, key: str, data: bytes, write: Callable[[], str]) -> str | None:
        def attempt(number: int) -> str | None:
            try:
                return write()
            except ConditionFailed:
                if not number:
                    return None
            # The write may have taken place before, and only its answer been lost.
            found = self.find(key)
            return found.tag if found is not None and found.data == data else None

        self.sent += len(data)
        return self._patiently("put", attempt)

    def listed(self, prefix: str = "", *, deep: bool = True) -> list[Listed]:
        """Objects whose keys begin with a prefix, sorted; those with a further slash only if ``deep``.

        Raises:
            ObjectStoreError: They cannot be listed.
        """
        if not self.can_list:
            raise self._refused("list", "A web server does not say what it holds.", "Give an s3:// URL.")
        found = self._patiently("list", lambda _: self._system.listed(prefix, deep=deep))
        return sorted(found, key=lambda each: each.key)

    def delete(self, *keys: str) -> None:
        """Remove objects; those that are not there do not matter.

        Raises:
            OutputError: They cannot be removed.
        """
        if keys:
            self._patiently("delete", lambda _: self._system.delete(keys))

    def look_for_conditions(self, key: str) -> bool:
        """Whether the server keeps to the conditions of writes, found by writing an object three times.

        Args:
            key: Of an object that nobody else writes; it is removed.

        Raises:
            OutputError: Nothing can be written.
        """
        self.require_writable()
        self.put(key, b"1")
        if self._has_conditions:
            self._has_conditions = self._refuses(
                lambda: self._system.put(key, b"2", absent=True)
            ) and self._refuses(lambda: self._system.put(key, b"3", tag="0" * 32))
        self.delete(key)
        return self._has_conditions

    def _refuses(self, write: Callable[[], str]) -> bool:
        """Whether a write whose condition does not hold is refused for that, not made or not understood."""

        def attempt(_: int) -> bool:
            try:
                write()
            except ConditionFailed:
                return True
            except Exception as error:
                if status_of(error) in (400, 501):
                    return False
                raise
            return False

        return self._patiently("put", attempt)

    def together(self, work: Callable[[A], B], items: Iterable[A]) -> list[B]:
        """Results of work on items in their order, several at a time; the first error ends it."""
        given = list(items)
        if len(given) < 2:
            return [work(each) for each in given]
        with ThreadPoolExecutor(min(REQUESTS_AT_A_TIME, len(given)), "histonic-objects") as pool:
            futures = [pool.submit(work, each) for each in given]
            try:
                return [each.result() for each in futures]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _patiently(self, kind: str, ask: Callable[[int], A]) -> A:
        """An answer, asked for again where the failure may pass; errors hold neither URL nor key."""
        for attempt in range(TRIES):
            with self._lock:
                self.asked[kind if not attempt else "again"] += 1
            try:
                return ask(attempt)
            except HistonicError:
                raise
            except Exception as error:  # noqa: BLE001 - each system raises its own; all become one kind here
                final = self._final(kind, error)
                if final is None and attempt + 1 < TRIES:
                    # Not all at the same moment, or a server that is busy stays so.
                    pause = min(self._wait_s * 2**attempt, MOST_WAIT_S)
                    time.sleep(pause * random.uniform(0.5, 1))
                    continue
                said = final or self._refused(
                    kind,
                    f"The server does not answer, or the connection is cut ({kind_of_error(error)}; {TRIES} "
                    "tries).",
                    "Check the network and the server, and run it again: what is done is kept.",
                )
            raise said from None
        raise AssertionError

    def _final(self, kind: str, error: BaseException) -> HistonicError | None:
        """What is no use to ask again; None where it may help."""
        status, code = status_of(error), code_of(error)
        said = f" ({' '.join(filter(None, (str(status or ''), code)))})" if status or code else ""
        if is_named(error, "NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"):
            return self._refused(
                kind,
                "No credentials were found.",
                "Set them as for other tools of the service: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.",
            )
        if code == "NoSuchBucket":
            return self._refused(
                kind,
                f"There is no bucket {self.url.host!r}.",
                "Check the name and the server (AWS_ENDPOINT_URL), or make the bucket.",
            )
        if code in (
            "PermanentRedirect",
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException",
        ):
            return self._refused(
                kind, f"The bucket lies in another region{said}.", "Set AWS_DEFAULT_REGION to its region."
            )
        if status in (401, 403) or isinstance(error, PermissionError):
            verb = {"put": "written to", "delete": "deleted from", "list": "listed"}.get(kind, "read")
            return self._refused(
                kind,
                f"The server does not let it be {verb}{said}.",
                "Check the permission and the keys; those that were signed for a time may have expired.",
            )
        if isinstance(error, ImportError):
            return _without_package(self.url, error)
        if status in LASTING or status == 501 or is_named(error, "ParamValidationError", "InvalidURL"):
            return self._refused(
                kind, f"The server answers{said or f' {kind_of_error(error)}'}.", "Check the URL."
            )
        return None

    def _refused(self, kind: str, found: str, todo: str) -> HistonicError:
        if kind in ("get", "list"):
            return ObjectStoreError(f"Read {self.url}.", found, todo)
        made = OutputError(f"Write to {self.url}.", found, todo)
        # Slide after slide would be computed and lost.
        made.is_full = True
        return made


def _opened(url: Url) -> System:
    try:
        return system_of(url)
    except ImportError as error:
        raise _without_package(url, error) from None
    except ValueError:
        raise StoreError(
            f"Open {url}.", f"The scheme {url.scheme!r} is not known.", "Give s3, gs, http or https."
        ) from None


def _without_package(url: Url, error: ImportError) -> StoreError:
    package = PACKAGES.get(url.scheme, error.name or "a package")
    todo = "Install it: pip install gcsfs." if url.scheme == "gs" else f"Install it: {EXTRA}"
    return StoreError(f"Open {url}.", f"That needs {package}, which is not installed.", todo)
