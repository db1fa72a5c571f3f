"""Codes on the disk answer every index as the same array in memory would."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fixtures.stores import make_map
from histonic.core.errors import StoreError
from histonic.data.maps.codes import StoredCodes
from histonic.data.maps.integrity import FACTS_FILE
from histonic.data.maps.store import read_map
from histonic.data.maps.writer import write_map

SHAPE = (3, 7, 9)
PLAIN = np.arange(np.prod(SHAPE), dtype=np.float16).reshape(SHAPE)


class _Counted:
    """A Zarr array that keeps the shapes of what was read of it."""

    def __init__(self, array: Any) -> None:
        self.array, self.read = array, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.array, name)

    def __getitem__(self, key: Any) -> Any:
        found = self.array[key]
        self.read.append(np.shape(found))
        return found


def stored(folder: Path, values: np.ndarray = PLAIN, chunks: tuple[int, ...] = (3, 2, 4)) -> StoredCodes:
    array = zarr.create_array(store=str(folder / "codes.zarr"), data=values, chunks=chunks)
    return StoredCodes(_Counted(array), folder)


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> StoredCodes:
    return stored(tmp_path_factory.mktemp("codes"))


def parts(size: int) -> st.SearchStrategy[Any]:
    """Indices along one axis."""
    return st.one_of(
        st.integers(-size, size - 1),
        st.slices(size),
        st.lists(st.integers(-size, size - 1), min_size=2, max_size=2),
        st.lists(st.booleans(), min_size=size, max_size=size).map(np.array),
        st.just(np.int64(1)),
        st.just(np.array(1)),
        st.just([]),
        st.none(),
    )


def masks() -> st.SearchStrategy[Any]:
    return st.lists(st.booleans(), min_size=63, max_size=63).map(lambda each: np.array(each).reshape(7, 9))


KEYS = st.one_of(
    parts(3),
    st.tuples(parts(3), parts(7)),
    st.tuples(*map(parts, SHAPE)),
    st.tuples(st.just(...), parts(9)),
    st.tuples(parts(3), st.just(...)),
    st.tuples(parts(3), st.just(...), parts(9)),
    st.tuples(parts(3), masks()),
    st.tuples(st.just(...), masks()),
    st.tuples(parts(3), st.just(...), masks()),
    st.just(PLAIN > 40),
    st.just(()),
)


@settings(deadline=None)
@example((0, slice(None), [0, 1]))  # a number and a list apart: NumPy puts their axis first
@example(([0, 1], slice(None), 2))
@example((slice(None), [0, 1], [1, 2]))  # pairs of cells, not rows by columns
@example((1, np.eye(7, 9, dtype=bool)))
@example((slice(None), slice(None, None, -2)))
@given(KEYS)
def test_every_index_means_what_it_means_to_numpy(codes: StoredCodes, key: Any) -> None:
    try:
        wanted = PLAIN[key]
    except IndexError:
        with pytest.raises(IndexError):
            codes[key]
        return
    np.testing.assert_array_equal(codes[key], wanted)
    assert np.shape(codes[key]) == wanted.shape


def test_a_mask_reads_rows_of_chunks_where_it_is_true(tmp_path: Path) -> None:
    codes, mask = stored(tmp_path), np.zeros(SHAPE[1:], bool)
    mask[0, 3], mask[6, 2:5] = True, True
    np.testing.assert_array_equal(codes[:, mask], PLAIN[:, mask])
    assert codes.array.read == [(3, 2, 1), (3, 1, 3)]


def test_turned_codes_under_a_mask(tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((8, *SHAPE)).astype(np.float16)
    codes, mask = stored(tmp_path, values, (1, 3, 2, 4)), PLAIN[0] % 2 == 0
    np.testing.assert_array_equal(codes[:, :, mask], values[:, :, mask])
    np.testing.assert_array_equal(codes[2, :, mask], values[2, :, mask])
    np.testing.assert_array_equal(codes[..., mask], values[..., mask])


@pytest.mark.parametrize("shape", [(9, 7), (7, 8), (8,), (3, 7, 8)])
def test_a_mask_of_another_shape_is_refused(codes: StoredCodes, shape: tuple[int, ...]) -> None:
    with pytest.raises(IndexError, match="oolean"):
        codes[:, np.ones(shape, bool)] if len(shape) < 3 else codes[np.ones(shape, bool)]


def test_as_an_array(codes: StoredCodes) -> None:
    assert (codes.ndim, codes.dtype, codes.nbytes, len(codes)) == (3, np.float16, PLAIN.nbytes, 3)
    np.testing.assert_array_equal(np.asarray(codes), PLAIN)
    assert np.asarray(codes, np.float32).dtype == np.float32
    assert np.mean(codes, dtype=float) == PLAIN.astype(float).mean()
    with pytest.raises(ValueError, match="without a copy"):
        np.array(codes, copy=False)
    assert repr(codes).startswith("StoredCodes(3 x 7 x 9 float16, 0.0 MiB")


def test_the_features_of_a_map_under_its_mask(tmp_path: Path) -> None:
    given_map = make_map("a", turned=True)
    write_map(tmp_path / "a.zarr", given_map)
    found = read_map(tmp_path / "a.zarr")
    wanted = np.asarray(given_map.features)[:, given_map.mask]
    assert found.features[:, found.mask].shape == (3, int(found.mask.sum()))
    np.testing.assert_array_equal(found.features[:, found.mask], wanted)


def test_a_map_that_was_replaced_within_the_grain_of_the_clock_is_noticed(tmp_path: Path) -> None:
    folder, given_map = tmp_path / "a.zarr", make_map("a")
    write_map(folder, given_map)
    written = (folder / FACTS_FILE).stat()
    codes = read_map(folder).features
    assert codes[:].any()
    # Written whole beside the first, it then takes its place.
    write_map(folder, replace(given_map, features=-np.asarray(given_map.features)))
    os.utime(folder / FACTS_FILE, ns=(written.st_atime_ns, written.st_mtime_ns))
    assert (folder / FACTS_FILE).stat().st_size == written.st_size
    with pytest.raises(StoreError, match="replaced or removed"):
        codes[:]


def test_a_map_whose_files_get_other_numbers_is_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "a.zarr"
    write_map(folder, make_map("a"))
    codes, facts = read_map(folder).features, folder / FACTS_FILE
    wanted, number = codes[:], facts.stat().st_ino
    shutil.copy2(facts, tmp_path / "copy")
    os.replace(tmp_path / "copy", facts)
    assert facts.stat().st_ino != number
    np.testing.assert_array_equal(codes[:], wanted)
    facts.unlink()
    with pytest.raises(StoreError, match="replaced or removed"):
        codes[:]


def test_damage_is_named_when_it_is_met(tmp_path: Path) -> None:
    codes = stored(tmp_path)
    chunk = next(path for path in (tmp_path / "codes.zarr" / "c").rglob("*") if path.is_file())
    chunk.write_bytes(b"no code")
    with pytest.raises(StoreError, match="cannot be read"):
        codes[:, np.ones(SHAPE[1:], bool)]
    with pytest.raises(StoreError, match="cannot be read"):
        np.asarray(codes)
