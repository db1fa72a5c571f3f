"""Answers are read from whatever error a package makes of them."""

from __future__ import annotations

from typing import ClassVar

from histonic.core.objects.answers import (
    LASTING,
    code_of,
    is_named,
    is_of_connection,
    kind_of_error,
    status_of,
)


class _OfService(Exception):
    response: ClassVar = {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}


def test_the_answer_is_found_behind_other_errors() -> None:
    error = OSError("about https://host/key?signature=1")
    error.__cause__ = _OfService()
    assert (status_of(error), code_of(error)) == (503, "SlowDown")
    assert kind_of_error(error) == "answer 503 SlowDown"
    assert is_named(error, "_OfService") and not is_named(error, "KeyError")


def test_without_an_answer_the_kind_of_error_is_told() -> None:
    error = RuntimeError("https://host/key?signature=1")
    error.__context__ = ConnectionResetError("secret")
    assert (status_of(error), code_of(error)) == (None, "")
    assert kind_of_error(error) == "ConnectionResetError"
    assert is_of_connection(error) and not is_of_connection(KeyError("a"))


def test_a_conflict_and_a_busy_server_do_not_last() -> None:
    assert {404, 403, 412} <= LASTING and not LASTING & {408, 409, 429, 500, 503}
