"""Parts of tiles on several threads: in order, each of at most the batch's size, errors handed on."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt
import pytest
import torch

from histonic.core.compressed import EncodingDescription
from histonic.encoders.engines.pool import EncodingPool

FOUR = EncodingDescription(engine="eager", batch=4, machine="a machine")


def first_pixels(tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return tiles[:, 0, 0, :2].astype(np.float32)


@pytest.mark.parametrize("count", [0, 1, 4, 11])
def test_codes_come_in_order_whatever_the_number_of_tiles(count: int) -> None:
    tiles = np.arange(count * 12, dtype=np.uint8).reshape(count, 2, 2, 3)
    sizes: list[int] = []

    def encode(part: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        sizes.append(len(part))
        return first_pixels(part)

    with EncodingPool(encode, FOUR, 2, workers=3) as pool:
        np.testing.assert_array_equal(pool.encode(tiles), first_pixels(tiles))
    assert sum(sizes) == count
    assert all(size <= 4 for size in sizes)


def test_parts_run_at_the_same_time_on_one_thread_each() -> None:
    both, threads = threading.Barrier(2, timeout=10), []

    def encode(part: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        both.wait()  # passes only if two parts are under way
        threads.append(torch.get_num_threads())
        return first_pixels(part)

    before = torch.get_num_threads()
    with EncodingPool(encode, FOUR, 2, workers=2) as pool:
        pool.encode(np.zeros((8, 2, 2, 3), np.uint8))
    assert threads == [1, 1]
    assert torch.get_num_threads() == before


def test_an_error_of_the_encoder_reaches_who_asks_for_the_codes() -> None:
    def encode(part: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        raise ValueError("damaged")

    with EncodingPool(encode, FOUR, 2, workers=2) as pool:
        pending = pool.submit(np.zeros((9, 2, 2, 3), np.uint8))
        with pytest.raises(ValueError, match="damaged"):
            pending.result()


def test_what_was_not_begun_can_be_dropped() -> None:
    go = threading.Event()
    done: list[int] = []

    def encode(part: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        go.wait(10)
        done.append(len(part))
        return first_pixels(part)

    with EncodingPool(encode, FOUR, 2, workers=1) as pool:
        pending = pool.submit(np.zeros((40, 2, 2, 3), np.uint8))
        pending.cancel()
        go.set()
    assert len(done) <= 1
