"""Requests are repeated within bounds, a lost answer is no lost write, and no word holds a key."""

from __future__ import annotations

import pytest

from fixtures.objects import HeldObjects, objects_in
from histonic.core.errors import ObjectStoreError, OutputError, StoreError
from histonic.core.objects.objects import TRIES, Objects
from histonic.core.places.urls import Url


@pytest.fixture
def system() -> HeldObjects:
    return HeldObjects()


def first(count: int, what: str, method: str = "put") -> object:
    left = [count]

    def fault(asked: str, key: str) -> str:
        if asked == method and left[0]:
            left[0] -= 1
            return what
        return ""

    return fault


def test_what_fails_for_a_while_is_asked_again(system: HeldObjects) -> None:
    objects = objects_in(system)
    system.fault = first(TRIES - 1, "before")  # type: ignore[assignment]
    objects.put("a", b"1")
    assert system.held["a"][0] == b"1"
    assert (objects.asked["put"], objects.asked["again"], objects.sent) == (1, TRIES - 1, 1)


@pytest.mark.parametrize(("method", "kind"), [("put", OutputError), ("get", ObjectStoreError)])
def test_what_never_answers_is_given_up(system: HeldObjects, method: str, kind: type[Exception]) -> None:
    system.fault = lambda asked, key: "before"
    with pytest.raises(kind, match=rf"cut \(ConnectionResetError; {TRIES} tries\)"):
        getattr(objects_in(system), {"get": "find"}.get(method, method))(
            *["key", b"1"][: 1 + (method == "put")]
        )
    assert len(system.asked) == TRIES


def test_a_write_whose_answer_was_lost_has_taken_place(system: HeldObjects) -> None:
    objects = objects_in(system)
    system.fault = first(1, "after")  # type: ignore[assignment]
    tag = objects.create("a", b"mine")
    assert tag is not None and system.held["a"][0] == b"mine"
    system.fault = first(2, "after")  # type: ignore[assignment]
    again = objects.exchange("a", b"mine too", tag)
    assert again is not None and again != tag
    assert objects.exchange("a", b"late", tag) is None


def test_a_write_whose_answer_was_lost_and_that_another_overtook_is_lost(system: HeldObjects) -> None:
    objects, other = objects_in(system), objects_in(system)

    def fault(method: str, key: str) -> str:
        if (method, key, len(system.asked)) != ("put", "a", 1):
            return ""
        return "after"

    system.fault = fault
    original = system.get

    def overtaken(key: str) -> object:
        system.get = original  # type: ignore[method-assign]
        other.put("a", b"theirs")
        return original(key)

    system.get = overtaken  # type: ignore[assignment, method-assign]
    assert objects.create("a", b"mine") is None
    assert system.held["a"][0] == b"theirs"


def test_of_two_who_create_one_wins(system: HeldObjects) -> None:
    assert objects_in(system).create("a", b"1") is not None
    assert objects_in(system).create("a", b"2") is None


def test_a_server_that_forgets_conditions_is_found_out(system: HeldObjects) -> None:
    objects = objects_in(system)
    assert objects.look_for_conditions("probe") and not system.held
    system.keeps_conditions = False
    assert not objects_in(system).look_for_conditions("probe") and not system.held


def test_http_is_only_read() -> None:
    pytest.importorskip("aiohttp")
    with pytest.raises(OutputError, match="only read"):
        Objects(Url("https://me:secret@host.org/store?key=1")).require_writable()


def test_no_message_holds_a_password_or_a_signature() -> None:
    pytest.importorskip("aiohttp")
    objects = Objects(Url("http://me:secret@127.0.0.1:9/store?signature=xyz"), wait_s=0)
    with pytest.raises(StoreError) as caught:
        objects.find("maps.json")
    assert "127.0.0.1:9/store" in str(caught.value)
    assert not any(word in str(caught.value) for word in ("secret", "signature", "xyz", "me:"))


def test_schemes_that_are_not_known_are_named() -> None:
    with pytest.raises(StoreError, match="'teapot' is not known"):
        Objects(Url("teapot://bucket/store"))


def test_results_come_in_the_order_of_the_items_and_the_first_error_ends_all(system: HeldObjects) -> None:
    objects = objects_in(system)
    assert objects.together(lambda number: number * 2, range(20)) == list(range(0, 40, 2))
    with pytest.raises(ZeroDivisionError):
        objects.together(lambda number: 1 // number, [1, 0, 2])


class _Answer(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__("https://bucket/key?X-Amz-Signature=abc")
        self.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}


class NoCredentialsError(Exception):
    """As botocore's."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (_Answer(404, "NoSuchBucket"), "There is no bucket 'bucket'"),
        (_Answer(403, "AccessDenied"), "does not let it be read (403 AccessDenied)"),
        (_Answer(403, "InvalidAccessKeyId"), "403 InvalidAccessKeyId"),
        (_Answer(301, "PermanentRedirect"), "lies in another region"),
        (_Answer(400, "InvalidBucketName"), "answers (400 InvalidBucketName)"),
        (NoCredentialsError(), "No credentials were found"),
        (PermissionError("arn:aws:iam::1:user/me"), "does not let it be read"),
    ],
)
def test_what_is_refused_for_good_is_said_once_in_three_parts(
    system: HeldObjects, error: Exception, words: str
) -> None:
    def refuse(key: str) -> None:
        system.asked.append(("get", key))
        raise error

    system.get = refuse  # type: ignore[assignment, method-assign]
    with pytest.raises(ObjectStoreError) as caught:
        objects_in(system).find("a")
    assert words in caught.value.found and caught.value.todo and "s3://bucket/store" in caught.value.asked
    assert "Signature" not in str(caught.value) and "arn:" not in str(caught.value)
    assert len(system.asked) == 1


def test_a_busy_server_is_given_time(system: HeldObjects) -> None:
    answers = [_Answer(503, "SlowDown"), _Answer(500, "InternalError"), _Answer(429, "TooManyRequests")]
    original = system.get

    def busy(key: str) -> object:
        if answers:
            raise answers.pop()
        return original(key)

    system.get = busy  # type: ignore[assignment, method-assign]
    assert objects_in(system).find("a") is None
