"""Weights of a timm model from a file that the user has: read without pickled code, fitted by name."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from histonic.core.errors import EncoderError

TORCH_SUFFIXES = (".pth", ".pt", ".bin", ".torch")
WEIGHT_SUFFIXES = (*TORCH_SUFFIXES, ".safetensors")
LFS = b"version https://git-lfs"
"""What stands in place of a file that git-lfs did not fetch."""
NO_PICKLE = (LookupError, AttributeError, TypeError, AssertionError)
"""The reader of pickles gives these of what is no pickle, such as text."""
OF_PYTHON = re.compile(r"GLOBAL (\S+)")
UNREADABLE = (
    *(SafetensorError, pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError),
    *NO_PICKLE,
)
ADVICE = (
    "Copy the file again if it is damaged, else save the state dict alone: "
    "torch.save(model.state_dict(), path)."
)
LEFT_OUT = ("mask_token",)
"""Weights that serve pre-training alone, and are in some files."""
WRAPPERS = ("state_dict", "model")
"""Keys under which training scripts keep the state dict beside other things."""
PART = "trunk."
"""What the names of the model begin with in an encoder file of histonic."""


def load_timm_weights(
    trunk: nn.Module, path: Path, asked: str, *, leave_out: str | tuple[str, ...] = ()
) -> None:
    """Fill a model from a file of its state dict, or of a histonic encoder around it.

    Args:
        trunk: The model, filled in place.
        path: ``.pth``, ``.pt``, ``.bin`` or ``.safetensors``.
        asked: What was asked for, for messages.
        leave_out: Modules of the file that the model lacks on purpose, such as its classifier.

    Raises:
        EncoderError: The file is absent or damaged, lacks weights, has others, or weights of other shapes.
    """
    state = read_weights(path, asked)
    if inside := [name for name in state if name.startswith(PART)]:
        state = {name.removeprefix(PART): state[name] for name in inside}
    own = trunk.state_dict()
    state = by_own_names(own, state)
    for name, tensor in own.items():
        # A file made through NumPy may hold a single number as a row of one.
        if tensor.ndim == 0 and name in state and state[name].numel() == 1:
            state[name] = state[name].reshape(())
    modules = (leave_out,) if isinstance(leave_out, str) else leave_out
    found = misfit_of(own, state, (*modules, *LEFT_OUT))
    if found is not None:
        raise EncoderError(
            asked,
            found,
            "Give the weights of this very model; one of a fixed input size needs its own tile_px.",
        )
    fitting = {name: state[name] for name in own}
    check_finite(fitting, asked)
    trunk.load_state_dict(fitting)


def by_own_names(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a file by the names of the model, if all of these stand in it behind the same words.

    Training scripts save models within others (``module.``, ``teacher.backbone.``). Where two copies of the
    model are in the file, none is chosen.

    Args:
        own: State dict of the model.
        state: Weights of a file.

    Example:
        >>> one = torch.zeros(1)
        >>> by_own_names({"a": one, "b": one}, {"module.a": one, "module.b": one, "head": one})
        {'a': tensor([0.]), 'b': tensor([0.])}
    """
    first = next(iter(own), "")
    words = [name.removesuffix(first) for name in state if name.endswith(f".{first}")]
    whole = [each for each in words if all(f"{each}{name}" in state for name in own)]
    if first in state or len(whole) != 1:
        return dict(state)
    return {name.removeprefix(whole[0]): held for name, held in state.items() if name.startswith(whole[0])}


def check_finite(state: Mapping[str, Tensor], asked: str) -> None:
    """Refuse weights that hold NaN or infinity.

    Raises:
        EncoderError: Names the first.
    """
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise EncoderError(asked, f"{name} holds NaN or infinity.", "Give another copy of the file.")


def misfit_of(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], leave_out: tuple[str, ...] = ()
) -> str | None:
    """Why weights do not fit a model, None if they do.

    Args:
        own: State dict of the model.
        state: Weights of a file.
        leave_out: Modules of the file that the model lacks on purpose.
    """
    # The layer head.fc may have a norm beside it that goes with it.
    prefixes = tuple(f"{module.partition('.')[0]}." for module in leave_out)
    missing = [name for name in own if name not in state]
    unexpected = [
        name for name in state if name not in own and not f"{name}.".startswith(prefixes or ("\n",))
    ]
    if missing or unexpected:
        return _say_names(missing, unexpected)
    for name, tensor in own.items():
        if tensor.shape != state[name].shape:
            return f"{name} is {tuple(state[name].shape)} in the file, {tuple(tensor.shape)} in the model."
        if tensor.is_floating_point() and not state[name].is_floating_point():
            kind = str(state[name].dtype).removeprefix("torch.")
            return f"{name} holds whole numbers ({kind}) in the file, as weights that were quantised do."
    return None


def read_weights(path: Path, asked: str) -> dict[str, Tensor]:
    """The state dict of a file, on the CPU.

    Args:
        path: ``.pth``, ``.pt``, ``.bin`` or ``.safetensors``.
        asked: What was asked for, for messages.

    Raises:
        EncoderError: The file is absent, has another ending, is damaged, or holds no state dict.
    """
    if path.suffix not in WEIGHT_SUFFIXES:
        raise EncoderError(
            asked, f"The file ends in {path.suffix!r}.", f"Give {', '.join(TORCH_SUFFIXES)} or .safetensors."
        )
    if not path.is_file():
        raise EncoderError(asked, "There is no such file.", "Check the path.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        held: object = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        if _is_pointer(path):
            raise EncoderError(
                asked, "It is a pointer of git-lfs to the file.", "Fetch it with git lfs pull."
            ) from error
        raise EncoderError(asked, _unreadable(error), ADVICE) from error
    return _unwrap(held, asked)


def _is_pointer(path: Path) -> bool:
    try:
        with path.open("rb") as opened:
            return opened.read(len(LFS)) == LFS
    except OSError:  # as it was not readable before
        return False


def _unreadable(error: Exception) -> str:
    told = str(error)
    if named := OF_PYTHON.search(told):
        return f"The file cannot be read as plain tensors: it holds an object of Python, {named[1]}."
    # What torch tells then is to read it unsafely, or nothing.
    if told.startswith("Weights only load failed") or isinstance(error, NO_PICKLE):
        return "The file cannot be read as plain tensors: it is no file of torch, or damaged."
    first = (told.strip().splitlines() or ["it is empty or damaged"])[0].rstrip(".")
    return f"The file cannot be read as plain tensors: {first}."


def _unwrap(held: object, asked: str) -> dict[str, Tensor]:
    for key in WRAPPERS:
        if isinstance(held, Mapping) and isinstance(held.get(key), Mapping):
            held = held[key]
    state = dict(_tensors_in(held))
    if not state:
        raise EncoderError(asked, "The file holds no state dict (names and tensors).", ADVICE)
    return state


def _tensors_in(held: object, words: str = "") -> Iterator[tuple[str, Tensor]]:
    """Tensors by their names, those of mappings within behind theirs; a training script keeps more beside."""
    if isinstance(held, Mapping):
        for name, each in held.items():
            if isinstance(each, Tensor):
                yield f"{words}{name}", each
            else:
                yield from _tensors_in(each, f"{words}{name}.")


def _say_names(missing: list[str], unexpected: list[str]) -> str:
    parts = [
        f"{len(names)} weights {what}, first {names[0]!r}"
        for names, what in (
            (missing, "of the model are not in the file"),
            (unexpected, "of the file are not in the model"),
        )
        if names
    ]
    return "; ".join(parts) + "."
