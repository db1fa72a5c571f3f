"""The change of colours, by hand."""

from __future__ import annotations

import torch

from histonic.encoders.foreign.colours import scale_and_shift


def test_bytes_become_what_the_weights_were_trained_on() -> None:
    mean, std = (0.7, 0.5, 0.6), (0.2, 0.25, 0.1)
    scale, shift = scale_and_shift(mean, std)
    pixel = torch.tensor([0.0, 128.0, 255.0]).view(1, 3, 1, 1)
    found = (pixel / 127.5 - 1) * scale + shift
    wanted = [(0 - 0.7) / 0.2, (128 / 255 - 0.5) / 0.25, (1 - 0.6) / 0.1]
    torch.testing.assert_close(found.flatten(), torch.tensor(wanted))
