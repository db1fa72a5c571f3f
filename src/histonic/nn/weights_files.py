"""Weights in files: a full disk is told as of any other file, and what does not fit a network is named."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from safetensors import SafetensorError

if TYPE_CHECKING:
    from torch import Tensor, nn

_NUMBER = re.compile(r"\(os error (\d+)\)|\bOs \{ code: (\d+)")
"""The system's number of an error, as newer and older versions of safetensors put it."""


@contextmanager
def system_errors() -> Iterator[None]:
    """Raise what the system said to a safetensors writer as the OSError that it was.

    Goes inside :func:`~histonic.core.files.replacing_file` or ``replacing_folder``, which know what to tell.

    Raises:
        OSError: The disk is full, or the folder cannot be written to.

    Example:
        >>> with system_errors():
        ...     raise SafetensorError("Error while serializing: IoError (os error 28)")
        Traceback (most recent call last):
        OSError: [Errno 28] No space left on device
    """
    try:
        yield
    except SafetensorError as error:
        number = _NUMBER.search(str(error))
        if number is None:
            raise
        code = int(number[1] or number[2])
        raise OSError(code, os.strerror(code)) from error


def misfit(network: nn.Module, weights: Mapping[str, Tensor]) -> str | None:
    """What keeps weights from being those of a network; None if nothing does.

    Loading itself would take another type in silence, and numbers that are none.

    Args:
        network: As it was trained.
        weights: Its state, as read from a file.

    Returns:
        The first name that is missing or too many, or has another type or shape, or NaN or infinity in it.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1, bias=False)
        >>> misfit(layer, {"weight": torch.ones(1, 2)})
        >>> misfit(layer, {"weight": torch.full((1, 2), torch.nan)})
        'weight holds NaN or infinity'
    """
    own = network.state_dict()
    for name in sorted({*own, *weights}):
        if name not in weights:
            return f"{name} is absent"
        if name not in own:
            return f"{name} is of another network"
        wanted, found = own[name], weights[name]
        if found.dtype != wanted.dtype:
            return f"{name} is {found.dtype}, not {wanted.dtype}"
        if found.shape != wanted.shape:
            return f"{name} has the shape {tuple(found.shape)}, not {tuple(wanted.shape)}"
        if not bool(found.isfinite().all()):
            return f"{name} holds NaN or infinity"
    return None


def hash_of_weights(weights: Mapping[str, Tensor]) -> str:
    """Hash of names, types, shapes and numbers."""
    import torch  # Only here: who reads encoders without weights needs none of it.

    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        numbers = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(numbers.view(torch.uint8).numpy().tobytes())  # NumPy has no bfloat16
    return digest.hexdigest()
