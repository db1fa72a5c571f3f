"""Models of the transformers package (extra ``transformers``) as tile encoders, without code of others."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from histonic.core.compressed import TrunkDescription
from histonic.core.errors import EncoderError
from histonic.encoders.base import EncoderSpec
from histonic.encoders.foreign.colours import scale_and_shift
from histonic.encoders.foreign.pooling import pooled
from histonic.encoders.foreign.presets import Colours, Preset
from histonic.encoders.foreign.stated import (
    SAME_COLOUR,
    Said,
    TwoColours,
    colours_in,
    colours_of,
    facts_in,
    spec_of,
)
from histonic.encoders.foreign.timm_weights import LEFT_OUT, check_finite
from histonic.encoders.networks.convolutional import NetworkEncoder

PREPROCESSOR = "preprocessor_config.json"
ABOUT_FILES = ("_name_or_path", "architectures", "auto_map", "dtype", "torch_dtype", "transformers_version")
"""Of a configuration what says where its weights were, not how the model is built."""

FIRST_TOKENS = (("cls_token", "class_embedding"), ("distillation_token",))
"""Weights of tokens before those of the patches, by their names."""
REGISTERS = "register_tokens"
"""Weights of more such tokens; a configuration may number some that the package's model does not have."""


class TransformersNetwork(nn.Module):
    """Tiles to codes by the pooled tokens of a model of transformers.

    Args:
        model_type: As in its configuration, such as ``vit`` or ``dinov2``.
        described: Its configuration (``arguments``), colours and pooling.
        trunk: The model; None builds it with random weights.

    Raises:
        EncoderError: transformers is absent, or does not know such a model without code of others.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, model_type: str, described: TrunkDescription, trunk: nn.Module | None = None) -> None:
        super().__init__()
        self.model_type = model_type
        self.pooling = described.pooling
        self.trunk = trunk if trunk is not None else _build(model_type, described.arguments)
        if self.pooling != "model" and isinstance(getattr(self.trunk, "pooler", None), nn.Module):
            cast(Any, self.trunk).pooler = None  # of random weights where the folder lacks it, and not used
        config = cast(Any, self.trunk).config
        weights = [name.rpartition(".")[2] for name, _ in self.trunk.named_parameters()]
        first = sum(any(name in kind for name in weights) for kind in FIRST_TOKENS)
        registers = int(getattr(config, "num_register_tokens", 0) or 0) if REGISTERS in weights else 0
        self.prefix = first + registers
        scale, shift = scale_and_shift(described.mean, described.std)
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, tiles: Tensor) -> Tensor:
        """Codes ``(B, D)`` of tiles ``(B, 3, H, W)`` scaled to -1..1."""
        found = self.trunk(pixel_values=tiles * self.scale + self.shift)
        if self.pooling == "model":
            return cast(Tensor, found.pooler_output)
        return pooled(found.last_hidden_state, self.pooling, self.prefix, self.model_type)


class TransformersEncoder(NetworkEncoder):
    """A :class:`TransformersNetwork` with weights, as an encoder of architecture ``transformers:TYPE``."""

    architecture = "transformers"

    @classmethod
    def create(cls, device: str, precision: str) -> Self:
        """Refuse: this encoder needs weights.

        Raises:
            EncoderError: Always.
        """
        raise EncoderError(
            "Use the encoder 'transformers'.",
            "It names a family of architectures, without weights.",
            "Give an encoder file, made by 'histonic encoder import' (docs/how-to/foundation-encoders.md).",
        )

    @classmethod
    def build(cls, spec: EncoderSpec) -> TransformersNetwork:
        """The network of a spec, with random weights."""
        if spec.trunk is None:
            raise EncoderError(
                f"Load the encoder {spec.name!r}.", "Its file says nothing of its trunk.", "Import it again."
            )
        return TransformersNetwork(spec.architecture.partition(":")[2], spec.trunk)


def read_folder(
    folder: Path, config: Mapping[str, Any], preset: Preset | None, said: Said, asked: str
) -> TransformersEncoder:
    """An encoder of a folder as it is downloaded, with ``config.json`` and weights.

    Args:
        folder: The folder.
        config: What its configuration says.
        preset: That says pooling, licence and resolution.
        said: By the user.
        asked: What was asked for, for messages.

    Raises:
        EncoderError: The model needs code of its authors, its weights are absent or do not fit, or its
            colours or resolution are not known.
    """
    model_type = str(config["model_type"])
    architecture = f"{TransformersEncoder.architecture}:{model_type}"
    if preset is not None and preset.architecture != architecture:
        raise EncoderError(
            asked,
            f"It is a {model_type!r} of transformers, the preset {preset.name!r} is {preset.architecture!r}.",
            "Name another preset, or none.",
        )
    given = said.colours is not None and said.colours != "timm"
    stated = colours_stated(facts_in(folder / PREPROCESSOR, asked), asked, given=given)
    colours = colours_of(said, stated, preset, asked)
    pooling = said.pooling or (preset.pooling if preset else None)
    if pooling is None:
        raise EncoderError(
            asked,
            "Nothing says which of its tokens are the code.",
            "Say it: --pooling cls, mean or cls+mean; or --preset NAME.",
        )
    own_code = "AutoModel" in (config.get("auto_map") or {})
    trunk = _load(folder, model_type, asked, pooling == "model", own_code)
    arguments = _plain(cast(Any, trunk).config.to_dict())
    described = TrunkDescription(arguments, pooling, *colours, preset.name if preset else "")
    network = TransformersNetwork(model_type, described, trunk)
    tile_px = said.tile_px or (preset.tile_px if preset else _side_of(config))
    try:
        with torch.inference_mode():
            size = network.eval()(torch.zeros(1, 3, tile_px, tile_px)).shape[1]
    except (RuntimeError, ValueError, AttributeError) as error:
        told = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise EncoderError(
            asked,
            f"It gives no codes of tiles of {tile_px} px: {told[0]}.",
            "Give another --tile-px or --pooling.",
        ) from error
    source = f"transformers model {model_type}, folder {folder.name}"
    return TransformersEncoder(
        spec_of(said, preset, architecture, tile_px, size, described, source, asked), network
    )


def colours_stated(facts: Mapping[str, Any], asked: str, *, given: bool = False) -> TwoColours | None:
    """Mean and deviation of 0..1 that a preprocessor's configuration comes to; None if it does not say.

    Args:
        facts: The configuration: ``image_mean`` and ``image_std`` count for what ``rescale_factor`` makes of
            0..255 (less one with ``rescale_offset``), unless ``do_rescale`` or ``do_normalize`` is false.
        asked: What was asked for, for messages.
        given: Whether the user said the colours, who has the last word: None, too.

    Raises:
        EncoderError: It changes the order of channels; or it changes colours in yet another way, or leaves
            open which it expects, and the user did not say them.

    Example:
        >>> colours_stated({"do_normalize": False, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}, "x")
        ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    """
    for other in ("do_flip_channel_order", *(() if given else ("include_top",))):
        if facts.get(other):
            raise EncoderError(
                asked,
                f"{PREPROCESSOR} asks for {other}, a change of colours that is not made here.",
                "Export it as TorchScript with that change within, and import that file.",
            )
    if given:
        return None
    found = colours_in(facts, "image_mean", "image_std")
    rescaled, normalised = (facts.get(step) is not False for step in ("do_rescale", "do_normalize"))
    if not normalised:
        found = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    elif not rescaled and found is not None and max(*found[0], *found[1]) <= 1:
        raise EncoderError(
            asked,
            f"{PREPROCESSOR} says do_rescale: false with colours of 0..1; whether tiles are brought to 0..1 "
            "before is not said.",
            "Say the colours of 0..1 that it was trained on: --mean R,G,B --std R,G,B.",
        )
    factor = facts.get("rescale_factor", 1 / 255) if rescaled else 1.0
    if found is None or not isinstance(factor, int | float) or factor <= 0:
        return None
    most = 255 * factor
    less = 1.0 if rescaled and facts.get("rescale_offset") else 0.0
    if abs(most - 1) < SAME_COLOUR and not less:
        return found
    mean, std = found
    return (
        cast(Colours, tuple((level + less) / most for level in mean)),
        cast(Colours, tuple(level / most for level in std)),
    )


def _side_of(config: Mapping[str, Any]) -> int:
    size = config.get("image_size", 224)
    # Weights of DINOv2 are made for 518 px; tiles are 224 px, to which positions are interpolated.
    return 224 if not isinstance(size, int) or size > 224 else size


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in config.items() if name not in ABOUT_FILES}
    plain: dict[str, Any] = json.loads(json.dumps(kept, default=str))
    return plain


def _import(asked: str) -> Any:
    try:
        return importlib.import_module("transformers")
    except (ImportError, RuntimeError) as error:
        raise EncoderError(
            asked, f"transformers cannot be imported: {error}.", "pip install 'histonic[transformers]'"
        ) from error


def _known(transformers: Any, model_type: str, asked: str) -> None:
    if model_type not in transformers.CONFIG_MAPPING:
        raise EncoderError(
            asked,
            f"transformers {transformers.__version__} has no model {model_type!r} of its own; such a model "
            "runs code of its authors, which histonic does not.",
            "Export it as TorchScript with its own package, and import that file.",
        )


def _build(model_type: str, arguments: Mapping[str, Any]) -> nn.Module:
    asked = f"Build the model {model_type!r} of transformers."
    transformers = _import(asked)
    _known(transformers, model_type, asked)
    rest = {name: value for name, value in arguments.items() if name != "model_type"}
    config = transformers.AutoConfig.for_model(model_type, **rest)
    return cast(nn.Module, transformers.AutoModel.from_config(config, trust_remote_code=False))


def _load(folder: Path, model_type: str, asked: str, needs_pooler: bool, own_code: bool) -> nn.Module:
    transformers = _import(asked)
    _known(transformers, model_type, asked)
    try:
        with _quiet(transformers.utils.logging):
            trunk, found = transformers.AutoModel.from_pretrained(
                str(folder),
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                dtype=torch.float32,
            )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        told = " ".join(str(error).split())[:300]
        raise EncoderError(
            asked, f"transformers cannot load it: {told}.", "Download the folder again."
        ) from error
    # Many folders lack the pooler, which is used where it was asked for only.
    missing = sorted(name for name in found["missing_keys"] if needs_pooler or "pooler" not in name)
    dropped = _dropped(trunk, found["unexpected_keys"], heads=own_code)
    if own_code and (missing or dropped or found["mismatched_keys"]):
        raise EncoderError(
            asked,
            "It runs code of its authors (auto_map), which histonic does not.",
            "Export it as TorchScript with its own package, and import that file.",
        )
    if missing:
        raise EncoderError(
            asked,
            f"{len(missing)} weights of the model are not in the folder, first {missing[0]!r}.",
            "Download the folder again.",
        )
    if other := sorted(str(each[0]) for each in found["mismatched_keys"]):
        raise EncoderError(
            asked,
            f"{len(other)} weights are of other shapes than config.json says, first {other[0]!r}.",
            "Download the folder again.",
        )
    if dropped:
        raise EncoderError(
            asked,
            f"{len(dropped)} weights of the folder have no place in a {model_type!r} of transformers, first "
            f"{dropped[0]!r}; without them its codes are others.",
            "Export it as TorchScript with its own package, and import that file.",
        )
    check_finite(trunk.state_dict(), asked)
    return cast(nn.Module, trunk)


def _dropped(trunk: nn.Module, unexpected: Iterable[str], heads: bool) -> list[str]:
    """Weights of a folder that a model leaves out: those within it, with ``heads`` also those beside it."""
    start = f"{cast(Any, trunk).base_model_prefix}."
    modules = {name for name, _ in trunk.named_children()}
    names = (name.removeprefix(start) for name in unexpected)
    inside = (name for name in names if heads or name.partition(".")[0] in modules)
    return sorted(name for name in inside if not any(word in name for word in LEFT_OUT))


@contextmanager
def _quiet(logging: Any) -> Iterator[None]:
    """Without the package's own report and bar: what matters of them is said by errors."""
    before, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bar:
            logging.enable_progress_bar()
