"""Tokens of a transformer to one vector a tile."""

from __future__ import annotations

import torch
from torch import Tensor

from histonic.core.errors import EncoderError
from histonic.core.settings import Pooling


def pooled(tokens: Tensor, pooling: Pooling, prefix: int, name: str) -> Tensor:
    """One vector a tile.

    Args:
        tokens: ``(B, T, F)``; the class token, if there is one, is the first of the prefix.
        pooling: ``cls``, ``mean`` (of the patch tokens) or ``cls+mean`` (both, ``2 F`` numbers).
        prefix: Tokens before those of the patches: class token and registers.
        name: Of the model, for messages.

    Returns:
        ``(B, F)`` or ``(B, 2 F)``.

    Raises:
        EncoderError: The model gives no tokens, or has no class token.

    Example:
        >>> tokens = torch.tensor([[[1.0], [9.0], [2.0], [4.0]]])
        >>> pooled(tokens, "cls+mean", 2, "with a register").tolist()
        [[1.0, 3.0]]
    """
    asked = f"Pool the tokens of {name!r} by {pooling!r}."
    if tokens.ndim != 3:
        raise EncoderError(asked, "It is no transformer: it gives no tokens.", "Use the pooling 'model'.")
    if pooling != "mean" and not prefix:
        raise EncoderError(asked, "It has no class token.", "Use the pooling 'mean' or 'model'.")
    if pooling == "cls":
        return tokens[:, 0]
    mean = tokens[:, prefix:].mean(1)
    return mean if pooling == "mean" else torch.cat((tokens[:, 0], mean), 1)
