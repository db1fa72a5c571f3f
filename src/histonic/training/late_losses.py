"""Losses of steps, read when the device has computed them: to ask at once would let it wait at every step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

MOST_UNREAD = 32
"""Steps whose loss may be unread, as what has to be kept to explain a bad one takes memory."""


class LateLosses:
    """The losses of an epoch's steps, each examined once it is there.

    A device that works by itself is never waited for but when it is many steps behind, and at the end. So a
    loss that is not finite is noticed some steps later, with what made it still at hand.

    Args:
        examine: Called with each loss and what was given with it, in the order of the steps; may raise.

    Example:
        >>> seen = []
        >>> losses = LateLosses(lambda loss, explain: seen.append(explain()))
        >>> losses.add(torch.tensor(2.0), lambda: "first"); losses.add(torch.tensor(4.0), lambda: "second")
        >>> losses.mean(), seen
        (3.0, ['first', 'second'])
    """

    def __init__(self, examine: Callable[[float, Callable[[], str]], object]) -> None:
        self._examine = examine
        self._unread: deque[tuple[Tensor, Any, Callable[[], str]]] = deque()
        self._read: list[float] = []

    @property
    def last(self) -> float | None:
        """The latest loss that has been read."""
        return self._read[-1] if self._read else None

    def add(self, loss: Tensor, explain: Callable[[], str]) -> None:
        """Take in the loss of a step.

        Args:
            loss: Scalar, on any device.
            explain: What to say of it if it is bad.
        """
        found = loss.detach()
        event: Any = None
        if found.device.type == "cuda":
            there = torch.empty((), dtype=found.dtype, pin_memory=True)
            found = there.copy_(found, non_blocking=True)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
        self._unread.append((found, event, explain))
        while self._unread and (self._is_there() or len(self._unread) > MOST_UNREAD):
            self._read_next()

    def mean(self) -> float:
        """The mean of all losses, each of which has been examined then; NaN if there was no step."""
        while self._unread:
            self._read_next()
        return float(np.mean(self._read)) if self._read else float("nan")

    def _is_there(self) -> bool:
        event = self._unread[0][1]
        return event is None or bool(event.query())

    def _read_next(self) -> None:
        found, event, explain = self._unread.popleft()
        if event is not None:
            event.synchronize()
        loss = float(found)
        self._examine(loss, explain)
        self._read.append(loss)
