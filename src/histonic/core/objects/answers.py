"""What an object store or web server answered: the number, the code, and whether to ask again helps."""

from __future__ import annotations

from collections.abc import Iterator

PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "http": "aiohttp", "https": "aiohttp"}
"""By scheme, what asks such a server."""
EXTRA = "pip install 'histonic[remote]'"
LASTING = frozenset(range(400, 500)) - {408, 409, 425, 429}
"""Answers that stay the same however often is asked; 409 is another conditional write at the same moment."""


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def status_of(error: BaseException) -> int | None:
    """The answer's number, if there was an answer.

    Example:
        >>> error = OSError("no"); error.__cause__ = KeyError("why"); error.__cause__.status = 503
        >>> status_of(error), status_of(OSError("cut"))
        (503, None)
    """
    for each in chain(error):
        status = getattr(each, "status", None)
        if status is None:
            status = _of_response(each).get("ResponseMetadata", {}).get("HTTPStatusCode")
        if isinstance(status, int) and status >= 400:
            return status
    return None


def code_of(error: BaseException) -> str:
    """The service's own word for what is wrong, such as NoSuchBucket; empty where there is none."""
    for each in chain(error):
        code = _of_response(each).get("Error", {}).get("Code")
        if code:
            return str(code)
    return ""


def _of_response(error: BaseException) -> dict[str, dict[str, object]]:
    response = getattr(error, "response", None)
    return response if isinstance(response, dict) else {}


def is_of_connection(error: BaseException) -> bool:
    """Whether nothing was reached at all, or the connection broke."""
    kinds = (TimeoutError, ConnectionError)
    return any(
        isinstance(each, kinds) or type(each).__module__.startswith("aiohttp") for each in chain(error)
    )


def kind_of_error(error: BaseException) -> str:
    """An error in a word or two, never its text: that may hold a whole URL or a key."""
    status = status_of(error)
    if status is not None:
        code = code_of(error)
        return f"answer {status}{f' {code}' if code and not code.isdigit() else ''}"
    return type(list(chain(error))[-1]).__name__


def is_named(error: BaseException, *names: str) -> bool:
    """Whether the error, or one that it came from, is of a class of such a name.

    Classes of packages that may not be installed are known by their names.
    """
    return any(type(each).__name__ in names for each in chain(error))
