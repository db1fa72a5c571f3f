"""Which positions of a layer need which of the layer below: whole numbers along one axis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class Span(NamedTuple):
    """Positions ``start <= position < stop`` along an axis."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many positions."""
        return max(0, self.stop - self.start)

    def within(self, size: int) -> Span:
        """The part that lies in ``0 <= position < size``; maybe empty.

        Example:
            >>> Span(-2, 3).within(9), Span(-2, 0).within(9)
            (Span(start=0, stop=3), Span(start=0, stop=0))
        """
        start = min(max(self.start, 0), size)
        return Span(start, max(start, min(self.stop, size)))

    def nearest(self, size: int) -> Span:
        """The same, but where nothing lies within: the position next to it.

        Example:
            >>> Span(-2, 3).nearest(9), Span(-2, 0).nearest(9), Span(9, 11).nearest(9), Span(0, 0).nearest(9)
            (Span(start=0, stop=3), Span(start=0, stop=1), Span(start=8, stop=9), Span(start=0, stop=0))
        """
        found = self.within(size)
        if found.size or not self.size or not size:
            return found
        first = min(max(self.start, 0), size - 1)
        return Span(first, first + 1)


NONE = Span(0, 0)


def hull(spans: Iterable[Span]) -> Span:
    """The shortest span that holds all others; of nothing an empty one.

    Example:
        >>> hull([Span(4, 6), Span(0, 0), Span(1, 2)])
        Span(start=1, stop=6)
    """
    filled = [span for span in spans if span.size]
    return Span(min(each.start for each in filled), max(each.stop for each in filled)) if filled else NONE


@dataclass(frozen=True)
class Window:
    """What a layer looks at along one axis.

    Position ``o`` sees ``o * stride - before + dilation * t`` for ``0 <= t < kernel``.

    Attributes:
        kernel: Positions that one output sees.
        stride: Step of the outputs.
        dilation: Step of the positions that one output sees.
        before: Positions that are filled in ahead of the first; below 0 the first ones are left out.
        after: The same behind the last.
        rounds_up: Whether a last window may reach beyond what is filled in (``ceil_mode`` of pooling).

    Example:
        >>> conv = Window(3, stride=2, before=1, after=1)
        >>> conv.outputs(9), conv.needs(Span(0, 2)), conv.needs(Span(0, 2)).within(9)
        (5, Span(start=-1, stop=4), Span(start=0, stop=4))
    """

    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0
    rounds_up: bool = False

    @property
    def extent(self) -> int:
        """Positions from the first to the last that one output sees."""
        return self.dilation * (self.kernel - 1) + 1

    def outputs(self, size: int) -> int:
        """Positions of the layer over ``size`` of the one below; 0 where not one window fits."""
        room = size + self.before + self.after - self.extent
        if room < 0:
            return 0
        if not self.rounds_up:
            return room // self.stride + 1
        count = -(-room // self.stride) + 1
        # A window that would begin behind the last position is none.
        return count - 1 if (count - 1) * self.stride >= size + self.before else count

    def reach(self, there: int, size: int) -> int:
        """How many positions of the layer can be computed when the first ``there`` of ``size`` are known.

        Example:
            >>> [Window(3, stride=2, before=1, after=1).reach(there, 9) for there in (0, 1, 2, 3, 4, 9)]
            [0, 0, 1, 1, 2, 5]
        """
        if there >= size:
            return self.outputs(size)
        room = there + self.before - self.extent
        return min(room // self.stride + 1, self.outputs(size)) if there and room >= 0 else 0

    def needs(self, span: Span) -> Span:
        """The positions below that some of the layer see, also those that are filled in."""
        if not span.size:
            return NONE
        start = span.start * self.stride - self.before
        return Span(start, (span.stop - 1) * self.stride - self.before + self.extent)


CELLWISE = Window()
"""Of a layer that looks at one position at a time."""
