"""Tokens to a vector: class token, mean of the patches, both; what has none of them is refused."""

from __future__ import annotations

import pytest
import torch

from histonic.core.errors import EncoderError
from histonic.core.settings import Pooling
from histonic.encoders.foreign.pooling import pooled

TOKENS = torch.tensor([[[1.0, 2.0], [50.0, 60.0], [3.0, 5.0], [7.0, 9.0]]])


@pytest.mark.parametrize(
    ("pooling", "wanted"), [("cls", [1, 2]), ("mean", [5, 7]), ("cls+mean", [1, 2, 5, 7])]
)
def test_registers_count_for_nothing(pooling: Pooling, wanted: list[float]) -> None:
    assert pooled(TOKENS, pooling, 2, "x").tolist() == [wanted]


def test_without_tokens_or_class_token() -> None:
    with pytest.raises(EncoderError, match="no tokens"):
        pooled(torch.zeros(1, 8, 7, 7), "cls", 1, "resnet")
    with pytest.raises(EncoderError, match="no class token"):
        pooled(TOKENS, "cls+mean", 0, "x")
    assert pooled(TOKENS, "mean", 0, "x").shape == (1, 2)
