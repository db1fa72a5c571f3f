"""A nested state of tensors and plain values as one safetensors file: exact, all or nothing, no pickle."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from histonic.core.errors import TrainingError
from histonic.core.files import replacing_file
from histonic.nn.weights_files import hash_of_weights

FORMAT = "histonic-state-1"
_TENSOR, _DICT, _TUPLE = "tensor", "dict", "tuple"


def save_state(path: str | os.PathLike[str], state: Any) -> None:
    """Write a state that :func:`load_state` gives back exactly.

    Args:
        path: The file; replaced only once the new one is complete.
        state: Tensors, None, booleans, whole numbers, floats and strings in dicts, lists and tuples.

    Raises:
        TypeError: The state holds something else.
        OutputError: The file cannot be written.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_state(f"{folder}/s", {"epoch": 3, "weights": {0: torch.ones(2)}})
        ...     load_state(f"{folder}/s")
        {'epoch': 3, 'weights': {0: tensor([1., 1.])}}
    """
    tensors: dict[str, Tensor] = {}
    packed = _pack(state, tensors)
    plain = {
        "format": FORMAT,
        "state": packed,
        "sha256": {"state": _hash_of(packed), "tensors": hash_of_weights(tensors)},
    }
    # One metadata key: the library writes several in an order that changes from run to run.
    content = save(tensors, {"histonic": json.dumps(plain)})
    with replacing_file(path) as partial:
        partial.write_bytes(content)


def load_state(path: str | os.PathLike[str], *, tensors: bool = True, holds: Collection[str] = ()) -> Any:
    """Read what :func:`save_state` wrote, onto the CPU.

    Args:
        path: The file.
        tensors: False reads the plain values alone, which costs little; every tensor is None.
        holds: Keys that the state has to have; another file of a training may have taken its place.

    Raises:
        TrainingError: The file is damaged, was not written by it, or holds another state.
    """
    try:
        with safe_open(path, "pt") as file:
            plain = json.loads((file.metadata() or {}).get("histonic", "null"))
            names = file.keys() if tensors else ()
            found = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise _damaged(path, f"It cannot be read: {error}.") from error
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise _damaged(path, "It holds no state of a training.")
    hashes = plain.get("sha256", {})  # absent in files of earlier versions
    try:
        changed = hashes and hashes["state"] != _hash_of(plain["state"])
        if hashes and tensors:
            changed = changed or hashes["tensors"] != hash_of_weights(found)
        if changed:
            raise _damaged(path, "It has changed since it was written.")
        state = _unpack(plain["state"], found)
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(path, f"It is damaged: {type(error).__name__}: {error}.") from error
    if absent := [key for key in holds if not (isinstance(state, dict) and key in state)]:
        raise _damaged(path, f"It is the file of something else: it has no {absent[0]!r}.")
    return state


def _hash_of(packed: Any) -> str:
    return hashlib.sha256(json.dumps(packed).encode()).hexdigest()


def _pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Plain JSON in place of ``value``; its tensors are moved to ``tensors``."""
    if isinstance(value, Tensor):
        name = f"{len(tensors):05d}"
        # Copied, because tensors that share memory are refused.
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {_TENSOR: name}
    if isinstance(value, dict):
        return {_DICT: [[_key(key), _pack(item, tensors)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {_TUPLE: [_pack(item, tensors) for item in value]}
    if isinstance(value, list):
        return [_pack(item, tensors) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a state cannot hold a {type(value).__name__}")


def _key(key: Any) -> str | int:
    if isinstance(key, str | int) and not isinstance(key, bool):
        return key
    raise TypeError(f"a state cannot have a key of type {type(key).__name__}")


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == _TENSOR:
        return tensors.get(content)
    if kind == _TUPLE:
        return tuple(_unpack(item, tensors) for item in content)
    return {key: _unpack(item, tensors) for key, item in content}


def _damaged(path: str | os.PathLike[str], found: str) -> TrainingError:
    return TrainingError(
        f"Read the checkpoint {os.fspath(path)}.", found, "Delete it and run the same command again."
    )
