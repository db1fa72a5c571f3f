"""The cache holds what was used last, and never more bytes than it may."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from histonic.app.view.cache import ByteCache


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12))))
def test_it_never_holds_too_much(puts: list[tuple[int, int]]) -> None:
    cache, known = ByteCache(20), {}
    for key, size in puts:
        cache.put(key, bytes(size))
        known[key] = size
        held = {each: found for each in known if (found := cache.get(each)) is not None}
        assert cache.held_bytes == sum(map(len, held.values())) <= 20
        assert all(len(value) == known[each] for each, value in held.items()) and key in held


def test_what_is_too_large_is_not_kept() -> None:
    cache = ByteCache(4)
    cache.put("a", b"12")
    cache.put("a", b"12345")
    assert cache.get("a") is None and cache.held_bytes == 0
