"""What a multitask encoder says of a tile beside its code: its heads, in a file of their own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from histonic.core.errors import HistonicError
from histonic.core.task import Task
from histonic.encoders.base import load_encoder
from histonic.encoders.shipped import MULTITASK
from histonic.nn.checkpoint import load_state, save_state
from histonic.nn.heads import Heads

HEADS_FILE = "heads.safetensors"


def save_heads(
    path: Path, tasks: Sequence[Task], code_size: int, state: Mapping[str, Tensor], encoder: str = ""
) -> None:
    """Keep the heads of a multitask encoder.

    Args:
        path: The file.
        tasks: What the heads tell.
        code_size: D.
        state: Weights of :class:`~histonic.nn.heads.Heads`.
        encoder: Fingerprint of the encoder at 32 bits, so that the heads are not taken for another's.

    Raises:
        OutputError: The file cannot be written.
    """
    facts = {"tasks": [task.to_dict() for task in tasks], "code_size": code_size, "encoder": encoder}
    save_state(path, {**facts, "weights": dict(state)})


def load_heads(path: Path) -> Heads:
    """The heads that :func:`save_heads` kept, ready to predict.

    Raises:
        TrainingError: The file is damaged.
    """
    state = load_state(path)
    heads = Heads([Task.from_dict(task) for task in state["tasks"]], state["code_size"])
    heads.load_state_dict(state["weights"])
    return heads.eval().requires_grad_(False)


def heads_beside(encoder: str | os.PathLike[str]) -> Path | None:
    """The file of an encoder's own heads; None if it has none.

    Args:
        encoder: ``histonic-mtl``, or the file of an encoder; its heads lie in the same folder as
            ``heads.safetensors``, where ``histonic encoder train`` and stores have them.

    Raises:
        TrainingError: The file of the heads is damaged.

    Example:
        >>> heads_beside("histonic-mtl").name, heads_beside("colour")
        ('histonic-mtl-heads.safetensors', None)
    """
    if os.fspath(encoder) == MULTITASK:
        return Path(__file__).parent / "weights" / f"{MULTITASK}-heads.safetensors"
    path = Path(encoder).with_name(HEADS_FILE)
    if Path(encoder).suffix != ".safetensors" or not path.is_file():
        return None
    wanted = load_state(path).get("encoder")
    if not wanted:
        return path
    try:
        return path if load_encoder(encoder).fingerprint == wanted else None
    except HistonicError:
        return None
