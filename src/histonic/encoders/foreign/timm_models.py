"""Models of the timm package: built by name and arguments, without weights, and never fetched."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn

from histonic.core.errors import EncoderError

NAMED = ("mlp_layer", "act_layer", "norm_layer")
"""Arguments that are Python classes; a spec holds their names."""
ACTIVATIONS = ("SiLU", "GELU", "ReLU")
ADVICE = "Choose another architecture, or correct its arguments."


def import_timm(asked: str) -> Any:
    """The package.

    Raises:
        EncoderError: It is absent, or does not import.
    """
    try:
        # Imported by its name only here, since the package is an extra.
        return importlib.import_module("timm")
    except ImportError as error:
        raise EncoderError(
            asked, f"timm cannot be imported: {error}.", "pip install 'histonic[timm]'"
        ) from error
    except RuntimeError as error:
        # A torchvision built for another torch fails with "operator torchvision::nms does not exist".
        raise EncoderError(
            asked,
            f"timm cannot be imported, since torchvision does not fit the installed torch: {error}.",
            f"Install the torchvision that belongs to torch {torch.__version__}, from the same index.",
        ) from error


def make_model(model_name: str, tile_px: int, arguments: Mapping[str, Any], asked: str) -> nn.Module:
    """A model with random weights and without its classifier.

    Args:
        model_name: As in ``timm.list_models()``.
        tile_px: Side of the tiles; models of a fixed input size are built for it, unless ``arguments`` say
            ``img_size``.
        arguments: Of the architecture; classes by their names, such as ``SwiGLUPacked``.
        asked: What was asked for, for messages.

    Raises:
        EncoderError: timm is absent or does not import, has no such model, or the model does not take such
            tiles or arguments.
    """
    timm = import_timm(asked)
    # A name with a source before a colon, such as hf-hub:..., would be fetched.
    if ":" in model_name or not timm.is_model(model_name):
        near = difflib.get_close_matches(model_name, timm.list_models(), n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise EncoderError(
            asked,
            f"timm {timm.__version__} has no model of that name.",
            f"{hint}timm.list_models() lists them all.",
        )
    facts = timm.get_pretrained_cfg(model_name)
    given = {name: _named(name, value, asked) for name, value in arguments.items()}
    if facts is not None and facts.fixed_input_size:
        given.setdefault("img_size", tile_px)
    try:
        trunk = timm.create_model(model_name, pretrained=False, num_classes=0, **given)
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise refuse_size(model_name, tile_px, error) from error
    return cast(nn.Module, trunk)


def _named(argument: str, value: Any, asked: str) -> Any:
    """The class that an argument names; any other argument as it is."""
    if argument not in NAMED or not isinstance(value, str):
        return value
    found = getattr(nn, value) if value in ACTIVATIONS else None
    found = found or getattr(importlib.import_module("timm.layers"), value, None)
    if not callable(found):
        raise EncoderError(asked, f"timm has no layer {value!r} for {argument}.", ADVICE)
    return found


def refuse_size(model_name: str, tile_px: int, error: Exception) -> EncoderError:
    """The error of a model that does not take tiles of a size."""
    return EncoderError(
        f"Build the timm model {model_name!r} for tiles of {tile_px} px.",
        f"It does not take them: {error}.",
        "Give another tile_px, such as 224, or choose another model.",
    )
