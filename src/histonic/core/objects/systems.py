"""Object stores by one small interface over fsspec: S3, others without conditional writes, http to read."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import quote

from histonic.core.objects.answers import code_of, status_of
from histonic.core.places.urls import Url

CONNECT_S, SILENCE_S = 20.0, 60.0
KEYS_A_DELETION = 1_000
"""S3 deletes at most so many objects by one request."""
PASSING = frozenset({"InternalError", "SlowDown", "ServiceUnavailable", "RequestTimeout"})
"""Why an object was not deleted, where to ask again helps."""


class ConditionFailed(Exception):
    """A conditional write found another object, or none, in its place; nothing was written."""


class DeletionRefused(Exception):
    """Of several objects some were not deleted, which S3 says inside an answer of success."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        status = 503 if code in PASSING else 403
        self.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}


@dataclass(frozen=True)
class Found:
    """An object: its bytes, and a tag that changes when they do."""

    data: bytes
    tag: str


@dataclass(frozen=True)
class Listed:
    """An object in a listing: key below the place, size, tag, and when it was written (server's clock)."""

    key: str
    size: int
    tag: str
    modified: float


class System(Protocol):
    """What an object store can do; keys are paths below the place that was opened.

    Attributes:
        has_conditions: Whether it knows conditional writes.
        is_writable: Whether it can be written to.
        can_list: Whether it says which objects there are.
    """

    has_conditions: bool
    is_writable: bool
    can_list: bool

    def get(self, key: str) -> Found | None:
        """An object; None if there is none."""

    def put(self, key: str, data: bytes, *, absent: bool = False, tag: str = "") -> str:
        """Write an object, only where there is none if ``absent``, only over the one with ``tag`` if given.

        Returns:
            Its tag.

        Raises:
            ConditionFailed: The condition does not hold.
        """

    def listed(self, prefix: str, *, deep: bool) -> list[Listed]:
        """The objects whose keys begin with ``prefix``; those with a further slash only if ``deep``."""

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are not there do not matter."""

    def now(self) -> float:
        """The time on the server's clock, as far as answers told it."""


class S3:
    """A prefix of a bucket. Answers are given once: who asks has to be patient itself.

    Args:
        url: ``s3://bucket/prefix``.
        silence_s: Seconds without a byte after which a request counts as lost.
    """

    has_conditions = is_writable = can_list = True

    def __init__(self, url: Url, silence_s: float = SILENCE_S) -> None:
        import s3fs

        limits = {"connect_timeout": min(CONNECT_S, silence_s), "read_timeout": silence_s}
        # Not s3fs's and botocore's own repetitions: who repeats a conditional write has to know that it did.
        self._system = s3fs.S3FileSystem(
            config_kwargs={**limits, "retries": {"max_attempts": 0}}, skip_instance_cache=True
        )
        self._system.retries = 1
        self._bucket = url.host
        self._root = _root_of(url)
        self._ahead_s = 0.0

    def get(self, key: str) -> Found | None:
        """See :class:`System`."""
        from fsspec.asyn import sync

        try:
            data, answer = sync(self._system.loop, self._get, self._root + key)
        except FileNotFoundError as error:
            if code_of(error) == "NoSuchBucket":
                raise
            return None
        self._hear(answer)
        return Found(data, _plain_tag(answer))

    async def _get(self, key: str) -> tuple[bytes, dict[str, Any]]:
        answer = await self._system._call_s3("get_object", Bucket=self._bucket, Key=key)
        async with answer["Body"] as body:
            data = await body.read()
        if len(data) != answer["ContentLength"]:
            raise ConnectionError(f"{len(data)} of {answer['ContentLength']} bytes came")
        return data, answer

    def put(self, key: str, data: bytes, *, absent: bool = False, tag: str = "") -> str:
        """See :class:`System`."""
        condition = {"IfNoneMatch": "*"} if absent else {"IfMatch": f'"{tag}"'} if tag else {}
        try:
            answer = self._call("put_object", Key=self._root + key, Body=data, **condition)
        except Exception as error:
            # Over an object that is gone there is nothing to match, which S3 answers with 404.
            gone = tag and status_of(error) == 404 and code_of(error) != "NoSuchBucket"
            if condition and (status_of(error) == 412 or gone):
                raise ConditionFailed(key) from error
            raise
        return _plain_tag(answer)

    def listed(self, prefix: str, *, deep: bool) -> list[Listed]:
        """See :class:`System`."""
        found: list[Listed] = []
        more: dict[str, str] = {} if deep else {"Delimiter": "/"}
        while True:
            answer = self._call("list_objects_v2", Prefix=self._root + prefix, **more)
            found += [
                Listed(
                    each["Key"].removeprefix(self._root),
                    int(each["Size"]),
                    _plain_tag(each),
                    each["LastModified"].timestamp(),
                )
                for each in answer.get("Contents", ())
            ]
            if not answer.get("IsTruncated"):
                return found
            more["ContinuationToken"] = answer["NextContinuationToken"]

    def delete(self, keys: Sequence[str]) -> None:
        """See :class:`System`."""
        for start in range(0, len(keys), KEYS_A_DELETION):
            part = [{"Key": self._root + key} for key in keys[start : start + KEYS_A_DELETION]]
            if len(part) == 1:
                self._call("delete_object", Key=part[0]["Key"])
            else:
                answer = self._call("delete_objects", Delete={"Objects": part, "Quiet": True})
                codes = [str(each.get("Code", "")) for each in answer.get("Errors", ())]
                if codes:  # a lasting one first: to ask again is no use then
                    raise DeletionRefused(min(codes, key=PASSING.__contains__))

    def now(self) -> float:
        """See :class:`System`."""
        return time.time() + self._ahead_s

    def _call(self, method: str, **values: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._system.call_s3(method, Bucket=self._bucket, **values)
        self._hear(answer)
        return answer

    def _hear(self, answer: dict[str, Any]) -> None:
        told = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if told:
            self._ahead_s = parsedate_to_datetime(told).timestamp() - time.time()


class Files:
    """Any other system of fsspec that is listed and written as a whole, Google's ``gs`` say: no conditions.

    Args:
        url: Of a scheme that fsspec knows.
        silence_s: Not told to the system, which has limits of its own.
    """

    has_conditions = False
    is_writable = can_list = True

    def __init__(self, url: Url, silence_s: float = SILENCE_S) -> None:
        import fsspec

        self._system, path = fsspec.core.url_to_fs(url.reveal())
        self._root = path.rstrip("/") + "/"

    def get(self, key: str) -> Found | None:
        """See :class:`System`."""
        self._system.invalidate_cache()
        try:
            data = bytes(self._system.cat_file(self._root + key))
            return Found(data, _tag_of(self._system.info(self._root + key)))
        except FileNotFoundError:
            return None

    def put(self, key: str, data: bytes, *, absent: bool = False, tag: str = "") -> str:
        """See :class:`System`."""
        if absent or tag:
            raise NotImplementedError("no conditional writes")
        path = self._root + key
        self._system.makedirs(path.rpartition("/")[0], exist_ok=True)  # of use where folders are real
        self._system.pipe_file(path, data)
        self._system.invalidate_cache()
        return _tag_of(self._system.info(path))

    def listed(self, prefix: str, *, deep: bool) -> list[Listed]:
        """See :class:`System`."""
        self._system.invalidate_cache()
        folder = (self._root + prefix.rpartition("/")[0]).rstrip("/")
        try:
            found = self._system.find(folder, maxdepth=None if deep else 1, detail=True)
        except FileNotFoundError:
            return []
        listed = [
            Listed(path.removeprefix(self._root), int(each["size"] or 0), _tag_of(each), _modified(each))
            for path, each in found.items()
            if path.startswith(self._root)
        ]
        return [each for each in listed if each.key.startswith(prefix)]

    def delete(self, keys: Sequence[str]) -> None:
        """See :class:`System`."""
        for key in keys:
            try:
                self._system.rm_file(self._root + key)
            except FileNotFoundError:
                continue

    def now(self) -> float:
        """See :class:`System`."""
        return time.time()


class Web:
    """A web server: single objects are read, nothing is listed or written.

    Args:
        url: ``http(s)://...``; what stands behind ``?`` goes with every request.
        silence_s: See :class:`S3`.
    """

    has_conditions = is_writable = can_list = False

    def __init__(self, url: Url, silence_s: float = SILENCE_S) -> None:
        import aiohttp
        import fsspec

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=silence_s)
        self._system = fsspec.filesystem(
            url.scheme,
            client_kwargs={"timeout": timeout, "trust_env": True},
            headers={"Accept-Encoding": "identity"},
            skip_instance_cache=True,
        )
        address, mark, query = url.reveal().partition("?")
        self._root, self._query = address.rstrip("/") + "/", mark + query

    def get(self, key: str) -> Found | None:
        """See :class:`System`."""
        try:
            return Found(bytes(self._system.cat_file(f"{self._root}{quote(key)}{self._query}")), "")
        except FileNotFoundError as error:
            if status_of(error) not in (None, 404, 410):
                raise
            return None

    def put(self, key: str, data: bytes, *, absent: bool = False, tag: str = "") -> str:
        """See :class:`System`."""
        raise NotImplementedError("http is only read")

    def listed(self, prefix: str, *, deep: bool) -> list[Listed]:
        """See :class:`System`."""
        raise NotImplementedError("http lists nothing")

    def delete(self, keys: Sequence[str]) -> None:
        """See :class:`System`."""
        raise NotImplementedError("http is only read")

    def now(self) -> float:
        """See :class:`System`."""
        return time.time()


def system_of(url: Url, silence_s: float = SILENCE_S) -> System:
    """The system that a URL speaks of.

    Raises:
        ImportError: A package for the scheme is not installed.
        ValueError: The scheme is not known.
    """
    kinds: dict[str, type[S3] | type[Web]] = {"s3": S3, "http": Web, "https": Web}
    return kinds.get(url.scheme, Files)(url, silence_s)


def _root_of(url: Url) -> str:
    path = url.path.strip("/")
    return f"{path}/" if path else ""


def _plain_tag(answer: dict[str, Any]) -> str:
    return str(answer.get("ETag", "")).strip('"')


def _tag_of(facts: dict[str, Any]) -> str:
    names = ("ETag", "etag", "md5Hash", "mtime", "created", "size")
    return str(next((facts[name] for name in names if facts.get(name)), ""))


def _modified(facts: dict[str, Any]) -> float:
    found = next((facts[name] for name in ("mtime", "updated", "created") if facts.get(name)), 0.0)
    return float(found.timestamp() if hasattr(found, "timestamp") else found if _is_number(found) else 0.0)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
