"""What a multitask encoder says of a tile beside its code: its heads, in a file of their own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from histonic.core.documents import Part, parse_part
from histonic.core.errors import EncoderError, HistonicError, TrainingError
from histonic.core.task import Task, Tasks
from histonic.core.units import MOST_OVER_SCALE
from histonic.encoders.base import HEADS_FILE as HEADS_FILE
from histonic.encoders.base import encoder_metadata, load_encoder
from histonic.encoders.shipped import SHIPPED
from histonic.nn.checkpoint import load_state, save_state
from histonic.nn.heads import Heads
from histonic.nn.weights_files import misfit

AGAIN = "Copy it again from beside its encoder, or train the encoder again."


class HeadsFacts(Part):
    """What stands in the file of heads beside their weights.

    Attributes:
        tasks: What the heads tell.
        code_size: D.
        hidden: Units of a dense layer in each head; 0: heads are linear.
        encoder: Fingerprint of the encoder at 32 bits; empty if not known.
        enlarged: By task, how many times as large as on a slide the objects were that its head learned from;
            only those that were enlarged.
    """

    tasks: Tasks
    code_size: PositiveInt
    hidden: NonNegativeInt = 0
    encoder: str = ""
    enlarged: dict[str, float] = Field(default_factory=dict)


def save_heads(
    path: Path,
    tasks: Sequence[Task],
    code_size: int,
    state: Mapping[str, Tensor],
    encoder: str = "",
    enlarged: Mapping[str, float] | None = None,
    hidden: int = 0,
) -> None:
    """Keep the heads of a multitask encoder.

    Args:
        path: The file.
        tasks: What the heads tell.
        code_size: D.
        state: Weights of :class:`~histonic.nn.heads.Heads`.
        encoder: Fingerprint of the encoder at 32 bits, so that the heads are not taken for another's.
        enlarged: By task, how many times as large as on a slide the objects were that its head learned from.
        hidden: Units of a dense layer in each head.

    Raises:
        OutputError: The file cannot be written.
    """
    facts = HeadsFacts(
        tasks=tuple(tasks),
        code_size=code_size,
        hidden=hidden,
        encoder=encoder,
        enlarged=dict(enlarged or {}),
    )
    save_state(path, {**facts.to_dict(), "weights": dict(state)})


def load_heads(path: Path) -> Heads:
    """The heads that :func:`save_heads` kept, ready to predict.

    Raises:
        TrainingError: The file is damaged.
    """
    facts, weights = _read(path)
    heads = Heads(facts.tasks, facts.code_size, facts.hidden)
    is_state = isinstance(weights, dict) and all(isinstance(each, Tensor) for each in weights.values())
    found = misfit(heads, weights) if is_state else "there are none"
    if found is not None:
        raise TrainingError(f"Read {path}.", f"Its weights do not fit its heads: {found}.", AGAIN)
    heads.load_state_dict(weights)
    return heads.eval().requires_grad_(False)


def too_large_for_slides(path: Path) -> dict[str, float]:
    """By task, how many times too large the objects were that its head learned from; only those too large.

    Args:
        path: Of :func:`save_heads`.

    Raises:
        TrainingError: The file is damaged.
    """
    return {name: times for name, times in _read(path)[0].enlarged.items() if times > MOST_OVER_SCALE}


def load_slide_heads(path: Path) -> tuple[Heads, dict[str, float]]:
    """The heads that hold on slides: those that learned from objects at their true scale.

    Args:
        path: Of :func:`save_heads`.

    Returns:
        The heads, and of those left out how many times too large their objects were, by task.

    Raises:
        EncoderError: All learned from enlarged objects.
        TrainingError: The file is damaged.
    """
    heads, left_out = load_heads(path), too_large_for_slides(path)
    kept = [task for task in heads.tasks if task.name not in left_out]
    if not kept:
        told = ", ".join(f"{name} {times:.1f} times" for name, times in left_out.items())
        raise EncoderError(
            f"Look at slides by the heads in {path}.",
            f"All learned from objects that were enlarged ({told}), of a size that no slide shows.",
            "Train the encoder on sets of 'scale: compose', or use another --aggregator.",
        )
    if not left_out:
        return heads, {}
    own = Heads(kept, heads.size, heads.hidden)
    for task in kept:
        own[task.name].load_state_dict(heads[task.name].state_dict())
    return own.eval().requires_grad_(False), left_out


def _read(path: Path) -> tuple[HeadsFacts, Any]:
    state = load_state(path)
    facts = dict(state) if isinstance(state, dict) else {}
    weights = facts.pop("weights", None)
    return parse_part(HeadsFacts, facts, path, TrainingError, AGAIN), weights


def heads_beside(encoder: str | os.PathLike[str]) -> Path | None:
    """The file of an encoder's own heads; None if it has none.

    Args:
        encoder: ``histonic-mtl`` or ``histonic-lite``, or the file of an encoder; its heads lie in the same
            folder as ``heads.safetensors``, where ``histonic encoder train`` and stores have them.

    Raises:
        TrainingError: The file of the heads is damaged.

    Example:
        >>> heads_beside("histonic-mtl").name, heads_beside("colour")
        ('histonic-mtl-heads.safetensors', None)
    """
    if (name := os.fspath(encoder)) in SHIPPED:
        return Path(__file__).parent / "weights" / f"{name}-heads.safetensors"
    path = Path(encoder).with_name(HEADS_FILE)
    if Path(encoder).suffix != ".safetensors" or not path.is_file():
        return None
    wanted = _read(path)[0].encoder
    if not wanted:
        return path
    try:
        # As it stands in the header: an encoder may have a thousand million weights.
        found = encoder_metadata(encoder).fingerprint or load_encoder(encoder).fingerprint
    except HistonicError:
        return None
    return path if found == wanted else None
