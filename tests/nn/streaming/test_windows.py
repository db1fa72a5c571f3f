"""Windows against torch's own sizes and gradients."""

from __future__ import annotations

import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from histonic.nn.streaming.windows import NONE, Span, Window, hull

WINDOWS = st.builds(Window, st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(0, 4))


@given(WINDOWS, st.integers(1, 40), st.data())
def test_a_window_needs_what_torch_lets_a_gradient_reach(window, size, data):
    pad = window.before
    window = Window(window.kernel, window.stride, window.dilation, pad, pad)
    count = window.outputs(size)
    assume(count > 0)
    conv = nn.Conv1d(1, 1, window.kernel, window.stride, pad, window.dilation, bias=False)
    nn.init.ones_(conv.weight)
    line = torch.zeros(1, 1, size, requires_grad=True)
    result = conv(line)
    assert result.shape[2] == count
    start = data.draw(st.integers(0, count - 1))
    stop = data.draw(st.integers(start + 1, count))
    (reached,) = torch.autograd.grad(result[..., start:stop].sum(), line)
    places = reached[0, 0].nonzero().flatten().tolist()
    found = window.needs(Span(start, stop)).within(size)
    if places:
        assert (found.start, found.stop) >= (0, 0) and found.start <= places[0] and places[-1] < found.stop
        # No longer than a hull must be: both ends are those of a window of the span.
        ends = window.needs(Span(start, stop))
        assert found == Span(max(0, ends.start), min(size, ends.stop))


@given(
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(0, 2),
    st.integers(1, 40),
    st.booleans(),
    st.integers(1, 2),
)
def test_pooling_has_as_many_outputs_as_in_torch(kernel, stride, pad, size, ceil, dilation):
    pad = min(pad, kernel // 2)
    window = Window(kernel, stride, dilation, pad, pad, ceil)
    assume(window.outputs(size) > 0 and size + 2 * pad >= window.extent)
    pooled = nn.MaxPool1d(kernel, stride, pad, dilation, ceil_mode=ceil)(torch.zeros(1, 1, size))
    assert pooled.shape[2] == window.outputs(size)


@given(WINDOWS, st.integers(1, 30), st.integers(0, 30), st.booleans())
def test_what_can_be_computed_needs_no_more_than_is_there(window, size, there, ceil):
    window = Window(window.kernel, window.stride, window.dilation, window.before, window.before, ceil)
    count = window.reach(there, size)
    assert 0 <= count <= window.outputs(size)
    if count:
        assert window.needs(Span(0, count)).nearest(size).stop <= there or there >= size
    if count < window.outputs(size) and there < size:
        assert there == 0 or window.needs(Span(count, count + 1)).stop > there


def test_nothing_is_needed_for_nothing():
    assert Window(3).needs(NONE) == NONE
    assert hull([NONE, Span(5, 5)]) == NONE
    assert Window(5).outputs(4) == 0


def test_a_crop_is_a_border_below_nothing():
    crop = Window(before=-1, after=-2)
    assert crop.outputs(9) == 6
    assert crop.needs(Span(0, 6)) == Span(1, 7)
