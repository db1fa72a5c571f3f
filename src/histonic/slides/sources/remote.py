"""A file at a URL, read by ranges of bytes: what was fetched is kept up to a bound, failures say the URL."""

from __future__ import annotations

import io
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, Self, cast

from histonic.core.errors import UnreadableSlideError
from histonic.core.objects.answers import (
    EXTRA,
    PACKAGES,
    is_named,
    is_of_connection,
    kind_of_error,
    status_of,
)
from histonic.core.places.urls import Url

CACHE_BYTES = 64_000_000
"""Most bytes of one remote file that are kept."""
PAGE_BYTES = 2_048
AHEAD_BYTES = 65_536
"""Fetched at least where nothing was announced: directories and their tables lie in pieces, one by one."""
GAP_SHARE = 8
"""Neighbours are fetched in one go where what lies between is at most one part in so many of them."""
MOST_REQUEST_BYTES = 8_000_000
REQUESTS_AT_A_TIME = 8
TRIES, WAIT_S = 4, 0.5
CONNECT_S, SILENCE_S = 20.0, 60.0
DOWNLOAD = "Download the file and give its path."

Range = tuple[int, int]
Fetch = Callable[[int, int], bytes]


class RemoteFile:
    """An opened file at a URL; threads may share it.

    Args:
        url: Where it lies.
        size: Bytes of the file.
        fetch: Reads the bytes from one place to another.
        cache_bytes: Most bytes that are kept.

    Attributes:
        url: Where it lies.
        size: Bytes of the file.
        mark: What the server says of this state of the file, empty if nothing.
        bytes_fetched: Bytes fetched so far.
        failure: The first range that could not be had, None so far.
    """

    def __init__(
        self, url: Url, size: int, fetch: Fetch, *, cache_bytes: int = CACHE_BYTES, mark: str = ""
    ) -> None:
        self.url = url
        self.size = size
        self.mark = mark
        self.bytes_fetched = 0
        self.failure: UnreadableSlideError | None = None
        self.most_announced = cache_bytes // 2
        self._fetch = fetch
        self._most_pages = max(2, cache_bytes // PAGE_BYTES)
        self._pages: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    @classmethod
    def open(cls, url: Url, *, cache_bytes: int = CACHE_BYTES) -> Self:
        """Ask for size and ranges of a file.

        Raises:
            UnreadableSlideError: It cannot be reached, is not there or may not be read; its server does not
                answer ranges; or the package for its scheme is not installed.
        """
        size, fetch, mark = _connect(url)
        opened = cls(url, size, fetch, cache_bytes=cache_bytes, mark=mark)
        # The end: directories often lie there, and a server that cannot answer ranges is known by it.
        opened.read_at(max(0, size - AHEAD_BYTES), min(size, AHEAD_BYTES))
        return opened

    def __str__(self) -> str:
        return str(self.url)

    @property
    def name(self) -> str:
        """File name."""
        return self.url.name

    def read_at(self, offset: int, count: int) -> bytes:
        """Bytes from ``offset`` on; fewer at the end of the file.

        Raises:
            UnreadableSlideError: They cannot be had.
        """
        count = max(0, min(count, self.size - offset))
        if not count:
            return b""
        pages = range(offset // PAGE_BYTES, (offset + count - 1) // PAGE_BYTES + 1)
        found = self._held(pages)
        if len(found) < len(pages):
            start = next(page for page in pages if page not in found)
            ahead = max(pages[-1] + 1, start + AHEAD_BYTES // PAGE_BYTES)
            found |= self._have([(start, min(ahead, self._last_page))], found)
        data = b"".join(found[page] for page in pages)
        at = offset - pages[0] * PAGE_BYTES
        return data[at : at + count]

    def announce(self, ranges: Sequence[Range]) -> None:
        """Fetch ranges (offset, count) that will be read next, several at a time; together as many as fit.

        Raises:
            UnreadableSlideError: They cannot be had.
        """
        spans = sorted(
            (at // PAGE_BYTES, (min(at + count, self.size) - 1) // PAGE_BYTES + 1)
            for at, count in ranges
            if count > 0 and 0 <= at < self.size
        )
        pages = {page for start, stop in spans for page in range(start, stop)}
        held = self._held(sorted(pages))
        missing = sorted(pages - held.keys())
        self._have(list(_joined(missing)), held)

    def stream(self) -> BinaryIO:
        """A file object of its own over the file."""
        return cast(BinaryIO, io.BufferedReader(_Stream(self), buffer_size=512))

    def close(self) -> None:
        """Drop what is kept."""
        with self._lock:
            self._pages.clear()
            if self._pool is not None:
                self._pool.shutdown()
                self._pool = None

    @property
    def _last_page(self) -> int:
        return -(-self.size // PAGE_BYTES)

    def _held(self, pages: Sequence[int]) -> dict[int, bytes]:
        with self._lock:
            found = {page: self._pages[page] for page in pages if page in self._pages}
            for page in found:
                self._pages.move_to_end(page)
            return found

    def _have(self, spans: Sequence[Range], held: dict[int, bytes]) -> dict[int, bytes]:
        """Pages of spans (first page, page behind), fetched and kept."""
        found: dict[int, bytes] = {}
        parts = [part for span in spans for part in _cut(span)]
        if len(parts) == 1:
            got = [self._span(*parts[0])]
        elif parts:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(REQUESTS_AT_A_TIME, "histonic-fetch")
            got = list(self._pool.map(lambda part: self._span(*part), parts))
        else:
            got = []
        with self._lock:
            for (start, _), data in zip(parts, got, strict=True):
                self.bytes_fetched += len(data)
                for index in range(0, len(data), PAGE_BYTES):
                    page = start + index // PAGE_BYTES
                    found[page] = self._pages[page] = data[index : index + PAGE_BYTES]
                    self._pages.move_to_end(page)
            while len(self._pages) > self._most_pages:
                self._pages.popitem(last=False)
        return found

    def _span(self, start: int, stop: int) -> bytes:
        first, last = start * PAGE_BYTES, min(stop * PAGE_BYTES, self.size)
        try:
            data: bytes = _patiently(self.url, lambda: _whole(self._fetch(first, last), last - first))
            return data
        except UnreadableSlideError as error:
            self.failure = self.failure or error
            raise


class _Stream(io.RawIOBase):
    """What libraries want to see of a file: a place that moves."""

    def __init__(self, file: RemoteFile) -> None:
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._file.read_at(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _joined(pages: Sequence[int]) -> Iterator[Range]:
    """Spans of ascending pages; over small gaps one span."""
    start = stop = -1
    for page in pages:
        if start >= 0 and page - stop <= (stop - start) // GAP_SHARE:
            stop = page + 1
            continue
        if start >= 0:
            yield start, stop
        start, stop = page, page + 1
    if start >= 0:
        yield start, stop


def _cut(span: Range) -> Iterator[Range]:
    step = MOST_REQUEST_BYTES // PAGE_BYTES
    for start in range(span[0], span[1], step):
        yield start, min(span[1], start + step)


class _CutOff(Exception):
    """An answer of fewer bytes than were asked for."""


def _whole(data: bytes, count: int) -> bytes:
    if len(data) != count:
        raise _CutOff(f"{len(data):,} of {count:,} bytes came")
    return data


def _connect(url: Url) -> tuple[int, Fetch, str]:
    """Size of a file, how ranges of it are fetched, and what the server says of its state."""
    try:
        import fsspec
    except ImportError:
        raise _without_extra(url, "fsspec") from None
    try:
        system, path = fsspec.core.url_to_fs(url.reveal(), **_options(url))
    except ImportError as error:
        raise _without_extra(url, error.name or PACKAGES.get(url.scheme, "a package")) from None
    except ValueError:
        raise UnreadableSlideError(
            f"Open the slide {url}.", f"The scheme {url.scheme!r} is not known.", "Give http(s) or s3."
        ) from None
    facts = _patiently(url, lambda: system.info(path))
    size = facts.get("size")
    if not size or facts.get("partial") is False:
        raise _without_ranges(url) if size != 0 else _refused(url, "The file is empty.", "Copy it again.")
    mark = str(facts.get("ETag") or facts.get("Last-Modified") or facts.get("LastModified") or "")
    if url.scheme not in ("http", "https"):
        return int(size), lambda start, stop: bytes(system.cat_file(path, start=start, end=stop)), mark
    file = _patiently(url, lambda: system.open(path, size=size, cache_type="none", block_size=PAGE_BYTES))
    return int(size), lambda start, stop: bytes(file._fetch_range(start, stop)), mark


def _options(url: Url) -> dict[str, Any]:
    if url.scheme not in ("http", "https"):
        return {}
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
    return {
        "client_kwargs": {"timeout": timeout, "trust_env": True},
        # A compressed answer has other ranges.
        "headers": {"Accept-Encoding": "identity"},
    }


def _patiently(url: Url, ask: Callable[[], Any]) -> Any:
    """An answer, asked for again where the failure may pass; errors never hold the whole URL."""
    for attempt in range(TRIES):
        try:
            return ask()
        except UnreadableSlideError:
            raise
        except Exception as error:  # noqa: BLE001 - each scheme raises its own; all become one kind here
            final = _final(url, error)
            if final is None and attempt + 1 < TRIES:
                time.sleep(WAIT_S * 2**attempt)
                continue
            said = final or _refused(
                url,
                f"The server does not answer, or the connection is cut ({_name_of(error)}; {TRIES} tries).",
                "Check the network and the server, and run it again: what is done is kept.",
            )
        raise said from None
    raise AssertionError


def _final(url: Url, error: BaseException) -> UnreadableSlideError | None:
    """What is no use to ask again; None where it may help."""
    status = status_of(error)
    if status in (401, 403) or isinstance(error, PermissionError):
        code = f" ({status})" if status else ""
        return _refused(
            url,
            f"The server does not let it be read{code}.",
            "Check the permission; a signed link may have expired: make a new one.",
        )
    if status in (404, 410) or (status is None and isinstance(error, FileNotFoundError)):
        # fsspec says so too where nothing was reached at all.
        if status is None and is_of_connection(error):
            return None
        return _refused(url, f"There is no such file{f' ({status})' if status else ''}.", "Check the URL.")
    if status is not None and 400 <= status < 500 and status not in (408, 425, 429):
        return _refused(url, f"The server answers {status}.", "Check the URL.")
    if isinstance(error, ImportError):
        return _without_extra(url, error.name or PACKAGES.get(url.scheme, "a package"))
    if isinstance(error, ValueError) and "range requests" in str(error):
        return _without_ranges(url)
    if is_named(error, "NoCredentialsError"):
        return _refused(
            url,
            "No credentials were found.",
            "Set them as for other tools of the service, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY say.",
        )
    return None


def _name_of(error: BaseException) -> str:
    """The kind of the deepest error; its words may hold the URL. Of our own the words too."""
    return str(error) if isinstance(error, _CutOff) else kind_of_error(error)


def _refused(url: Url, found: str, todo: str) -> UnreadableSlideError:
    return UnreadableSlideError(f"Read the slide {url}.", found, todo)


def _without_ranges(url: Url) -> UnreadableSlideError:
    return _refused(
        url, "Its server does not answer ranges of bytes, so that only the whole file could be had.", DOWNLOAD
    )


def _without_extra(url: Url, package: str) -> UnreadableSlideError:
    return _refused(url, f"Slides at a URL need {package}, which is not installed.", f"Install it: {EXTRA}")
