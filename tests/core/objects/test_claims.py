"""One of many gets a claim; who dies loses it, who wakes up sees that; and few requests are made for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from fixtures.objects import HeldObjects, objects_in
from histonic.core.objects import claims as module
from histonic.core.objects.claims import ObjectClaims
from histonic.core.processes.owners import Owner


@pytest.fixture
def system() -> HeldObjects:
    return HeldObjects()


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.0)


@pytest.fixture
def pair(system: HeldObjects) -> Iterator[tuple[ObjectClaims, ObjectClaims]]:
    with ObjectClaims(objects_in(system), 600) as one, ObjectClaims(objects_in(system), 600) as two:
        yield one, two


def test_one_of_many_gets_it(system: HeldObjects) -> None:
    holders = [ObjectClaims(objects_in(system), 600) for _ in range(12)]
    won: list[bool] = []
    threads = [threading.Thread(target=lambda each=each: won.append(each.take("a"))) for each in holders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(won) == 1
    for each in holders:
        each.close()
    assert not system.held


def test_what_is_given_back_can_be_had(pair: tuple[ObjectClaims, ObjectClaims]) -> None:
    one, two = pair
    assert one.take("a") and not two.take("a") and one.holds("a")
    held = two.holder("a")
    assert held is not None and held.silent_s < 5 and [each.name for each in two.others()] == ["a"]
    one.release("a")
    assert two.holder("a") is None and two.take("a") and not one.holds("a")


def test_the_silent_lose_it_and_see_that(
    system: HeldObjects, pair: tuple[ObjectClaims, ObjectClaims], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Owner, "has_ended", property(lambda owner: False))
    one, two = pair
    one.take("a")
    system.ahead_s = 599
    assert not two.take("a")
    system.ahead_s = 601
    assert two.take("a") and not one.holds("a")
    one.release("a")
    assert two.holds("a"), "a lost claim was deleted by the one who lost it"


def test_a_renewal_keeps_it(system: HeldObjects, pair: tuple[ObjectClaims, ObjectClaims]) -> None:
    one, two = pair
    one.take("a")
    system.ahead_s = 599
    assert one.holds("a")
    system.ahead_s = 1100
    assert not two.take("a")


def test_those_of_a_process_that_ended_are_had_at_once(
    pair: tuple[ObjectClaims, ObjectClaims], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = pair
    one.take("a")
    monkeypatch.setattr(Owner, "has_ended", property(lambda owner: True))
    assert two.others() == [] and two.take("a")


def test_of_two_who_take_over_one_wins(system: HeldObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Owner, "has_ended", property(lambda owner: False))
    holders = [ObjectClaims(objects_in(system), 600) for _ in range(3)]
    holders[0].take("a")
    system.ahead_s = 700
    original, met = system.get, threading.Barrier(2, timeout=10)

    def both_look_first(key: str) -> object:
        found = original(key)
        met.wait()
        return found

    system.get = both_look_first  # type: ignore[assignment, method-assign]
    won: list[bool] = []
    threads = [threading.Thread(target=lambda each=each: won.append(each.take("a"))) for each in holders[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    system.get = original  # type: ignore[method-assign]
    assert sorted(won) == [False, True]
    for each in holders:
        each.close()


def test_lost_answers_lose_no_claim(system: HeldObjects, pair: tuple[ObjectClaims, ObjectClaims]) -> None:
    one, two = pair
    faults = iter(["after"] * 2 + [""] * 2 + ["after"] + [""] * 99)
    system.fault = lambda method, key: next(faults) if method == "put" else ""
    assert one.take("a") and one.holds("a") and not two.take("a")


def test_a_renewal_all_of_whose_answers_were_lost_loses_no_claim(
    system: HeldObjects, pair: tuple[ObjectClaims, ObjectClaims]
) -> None:
    one, two = pair
    assert one.take("a")
    system.fault = lambda method, key: {"put": "after", "get": "before"}.get(method, "")
    assert one.holds("a")  # written, but not one answer came
    system.fault = lambda method, key: ""
    assert one.holds("a") and one.holds("a") and not two.take("a")
    two.close()
    system.put("claims/a", b'{"token": "another", "host": "h"}')
    assert not one.holds("a")


def test_what_cannot_be_read_is_nobodys(system: HeldObjects, pair: tuple[ObjectClaims, ObjectClaims]) -> None:
    system.put("claims/a", b"half of a cla")
    assert pair[0].take("a")


def test_heartbeats_are_few(system: HeldObjects) -> None:
    with ObjectClaims(objects_in(system), 1.2) as claims:
        before = len(system.asked)
        claims.take("a")
        time.sleep(0.7)
    # One to make it, one every fifth of a second, one to give it back.
    assert 3 <= len(system.asked) - before <= 6
    assert not system.held


def test_a_held_part_is_not_asked_for_again_at_once(
    pair: tuple[ObjectClaims, ObjectClaims], system: HeldObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 60.0)
    one, two = pair
    one.take("a")
    two.take("a")
    before = len(system.asked)
    assert not any(two.take("a") for _ in range(50)) and two.holder("a") is not None
    assert len(system.asked) == before


def test_without_conditions_every_claim_is_had() -> None:
    system = HeldObjects(has_conditions=False)
    with ObjectClaims(objects_in(system)) as one, ObjectClaims(objects_in(system)) as two:
        assert not one.excludes and one.take("a") and two.take("a") and two.holds("a")
    assert not system.held
