"""Encoders from elsewhere to files of histonic: folders of hubs, state dicts, TorchScript, Keras."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from histonic.core.compressed import TrunkDescription
from histonic.core.errors import EncoderError
from histonic.core.settings import Pooling
from histonic.encoders.foreign.mtdp import is_multitask_trunk, read_mtdp
from histonic.encoders.foreign.presets import PRESETS, Preset, preset_of
from histonic.encoders.foreign.stated import Said, TwoColours, colours_in, colours_of, facts_in, spec_of
from histonic.encoders.foreign.timm import TimmEncoder, TimmNetwork
from histonic.encoders.foreign.timm_models import make_model
from histonic.encoders.foreign.timm_weights import (
    LEFT_OUT,
    WEIGHT_SUFFIXES,
    by_own_names,
    misfit_of,
    read_weights,
)
from histonic.encoders.networks.convolutional import NetworkEncoder

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""In a folder as it is downloaded."""
USES = ("num_classes", "features_only")
"""Arguments in such a folder that say how the model is used, not how it is built."""
USUAL_PX = 224


def read_encoder(file: str | os.PathLike[str], said: Said, preset: str | None = None) -> NetworkEncoder:
    """An encoder of weights from elsewhere, on the CPU.

    Nothing is fetched, and no Python code of others is run.

    Args:
        file: A folder as downloaded from a hub (``config.json`` and weights, for timm or transformers), a
            state dict, or a TorchScript file.
        said: What the user says of it.
        preset: A foundation encoder by name.

    Raises:
        EncoderError: The file is absent, damaged or of no kind that is known; its colours, pooling or
            resolution are known neither from it nor from a preset nor from the user; or its weights fit no
            preset, or several.
    """
    path = Path(file)
    asked = f"Import the encoder {path}."
    if not path.exists():
        raise EncoderError(asked, "There is no such file or folder.", "Check the path.")
    return _read(path, preset_of(preset, asked) if preset else None, said, asked)


def _read(path: Path, preset: Preset | None, said: Said, asked: str) -> NetworkEncoder:
    config = facts_in(path / CONFIG, asked)
    of_transformers = "model_type" in config and "architecture" not in config
    weights = path if of_transformers or not path.is_dir() else _weights_in(path, asked)
    is_script = not of_transformers and is_torchscript(weights)
    if said.architecture is not None and (of_transformers or is_script):
        raise EncoderError(
            asked,
            f"--architecture {said.architecture} is given, but the architecture is in the "
            f"{'script' if is_script else 'folder'} itself.",
            "Leave it out.",
        )
    if said.colours == "timm" and (of_transformers or is_script):
        raise EncoderError(asked, "It is no model of timm.", "Give --mean and --std in place of --colours.")
    if of_transformers:
        from histonic.encoders.foreign.transformers_models import read_folder

        return read_folder(path, config, preset, said, asked)
    if is_script:
        from histonic.encoders.foreign.torchscript import read_script

        return read_script(weights, preset, said, asked)
    return _read_timm(weights, config, preset, said, asked)


def _weights_in(folder: Path, asked: str) -> Path:
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    found = sorted(each for each in folder.iterdir() if each.suffix in WEIGHT_SUFFIXES and each.is_file())
    if len(found) == 1:
        return found[0]
    if any(each.name.endswith(".index.json") for each in folder.iterdir()):
        raise EncoderError(asked, "Its weights are split into several files.", "Save them as one file.")
    names = ", ".join(each.name for each in found)
    raise EncoderError(
        asked,
        f"The folder holds several files of weights: {names}." if found else "The folder holds no weights.",
        f"Name the file of the weights itself, or give a folder with {CONFIG} and {WEIGHTS[0]}.",
    )


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive, and no state dict."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as opened:
        return any("/code/" in name for name in opened.namelist())


def _read_timm(
    weights: Path, config: Mapping[str, Any], preset: Preset | None, said: Said, asked: str
) -> NetworkEncoder:
    if preset is None and said.architecture is None:
        state = read_weights(weights, asked)
        if not config and is_multitask_trunk(state):
            return read_mtdp(weights, state, said, asked)
        preset = _fitting_preset(state, config, asked)
    given = config.get("pretrained_cfg", config)
    facts: Mapping[str, Any] = given if isinstance(given, dict) else {}
    if said.architecture is not None:
        architecture, arguments = said.architecture, {}
    elif preset is not None:
        architecture, arguments = preset.architecture, dict(preset.arguments)
    else:
        architecture, arguments = f"timm:{config['architecture']}", _built_by(config)
    model_name = timm_name(architecture, asked)
    tile_px = said.tile_px or (preset.tile_px if preset else side_of(facts, arguments, asked))
    if "img_size" in arguments:
        arguments["img_size"] = tile_px
    stated = _own_colours(model_name, asked) if said.colours == "timm" else colours_in(facts)
    colours = colours_of(said, stated, preset, asked)
    pooling = said.pooling or (preset.pooling if preset else _pooling_of(config, asked))
    described = TrunkDescription(arguments, pooling, *colours, preset.name if preset else "")
    network = TimmNetwork(model_name, None, tile_px, weights, described)
    source = f"timm model {model_name}, weights of {weights.name}"
    spec = spec_of(said, preset, architecture, tile_px, network.code_size, described, source, asked)
    return TimmEncoder(spec, network)


def _fitting_preset(state: Mapping[str, Tensor], config: Mapping[str, Any], asked: str) -> Preset | None:
    """None where the configuration says how the model is built, else the only preset that fits."""
    own = None
    if "architecture" in config:
        own = _misfit(state, f"timm:{config['architecture']}", _built_by(config), asked)
        if own is None:
            return None
    fitting = [
        preset
        for preset in PRESETS.values()
        if preset.architecture.startswith("timm:")
        and _misfit(state, preset.architecture, preset.arguments, asked) is None
    ]
    if len(fitting) == 1 and fitting[0].own_shapes:
        return fitting[0]
    if fitting:
        names = ", ".join(preset.name for preset in fitting)
        raise EncoderError(
            asked,
            f"By their shapes its weights could be of the preset {names}, and of others of that "
            "architecture, with other colours.",
            "Say what they are: --preset NAME; or --architecture timm:MODEL with --mean, --std and --mpp.",
        )
    also = f", nor the model in {CONFIG}: {own}" if own else "."
    raise EncoderError(
        asked,
        f"Its weights fit none of the presets{also}",
        f"The presets are {', '.join(PRESETS)}. Of others say --architecture timm:MODEL, --mean and --std, "
        "or export the model as TorchScript.",
    )


def _misfit(
    state: Mapping[str, Tensor], architecture: str, arguments: Mapping[str, Any], asked: str
) -> str | None:
    """Why weights do not fit a model, None if they do; the model takes no memory."""
    with torch.device("meta"):
        model = make_model(timm_name(architecture, asked), USUAL_PX, arguments, asked)
    classifier = cast(Any, model).pretrained_cfg.get("classifier") or ()
    modules = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    own = model.state_dict()
    return misfit_of(own, by_own_names(own, state), (*modules, *LEFT_OUT))


def _built_by(config: Mapping[str, Any]) -> dict[str, Any]:
    arguments = config.get("model_args")
    given = dict(arguments) if isinstance(arguments, dict) else {}
    pool = given.pop("global_pool", config.get("global_pool"))
    built = {name: value for name, value in given.items() if name not in USES}
    # Tokens are pooled here, anything else by the model itself.
    return built if pool in (None, "", "token") else {**built, "global_pool": pool}


def timm_name(architecture: str, asked: str) -> str:
    """The model that an architecture names.

    Raises:
        EncoderError: It is none of timm's.

    Example:
        >>> timm_name("timm:resnet18", "Import it.")
        'resnet18'
    """
    family, _, model = architecture.partition(":")
    if family != "timm" or not model:
        raise EncoderError(
            asked,
            f"A state dict cannot be of the architecture {architecture!r}.",
            "Give timm:MODEL, such as timm:resnet50; of a model of transformers give its folder.",
        )
    return model


def _own_colours(model_name: str, asked: str) -> TwoColours | None:
    with torch.device("meta"):
        model = make_model(model_name, USUAL_PX, {}, asked)
    return colours_in(cast(Any, model).pretrained_cfg)


def _pooling_of(config: Mapping[str, Any], asked: str) -> Pooling:
    given = config.get("model_args")
    pool = (given if isinstance(given, dict) else {}).get("global_pool", config.get("global_pool"))
    if pool == "":
        raise EncoderError(
            asked,
            f"{CONFIG} leaves open which of its tokens are the code.",
            "Say it: --pooling cls, mean or cls+mean; or --preset NAME.",
        )
    return "cls" if pool == "token" else "model"


def side_of(facts: Mapping[str, Any], arguments: Mapping[str, Any], asked: str) -> int:
    """Side of the tiles as a configuration says it.

    Raises:
        EncoderError: It says no square.

    Example:
        >>> side_of({"input_size": [3, 256, 256]}, {}, "Import it.")
        256
    """
    size = arguments.get("img_size") or facts.get("input_size") or USUAL_PX
    sides = set(size[-2:]) if isinstance(size, list | tuple) else {size}
    if len(sides) == 1 and isinstance(side := sides.pop(), int):
        return side
    raise EncoderError(
        asked,
        f"{CONFIG} says tiles of {size}, which are no squares.",
        "Give the side of the tiles: --tile-px.",
    )
