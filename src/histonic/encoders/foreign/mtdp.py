"""The trunks that Mormont et al. released: a ResNet50 and a DenseNet121, pre-trained on 22 tasks at once.

Mormont, Geurts and Marée, Multi-task pre-training of deep neural networks for digital pathology, IEEE JBHI
(2021). Their files hold the whole network: the trunk's weights have the names of torchvision after
``features.``, those of the tasks' heads lie under ``heads.``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from histonic.core.compressed import TrunkDescription
from histonic.core.errors import EncoderError
from histonic.encoders.base import EncoderSpec
from histonic.encoders.foreign.presets import IMAGENET
from histonic.encoders.foreign.stated import Said, spec_of
from histonic.encoders.foreign.timm import TimmEncoder, TimmNetwork
from histonic.encoders.foreign.timm_weights import check_finite, misfit_of

FAMILY = "mtdp"
TRUNK, HEADS = "features.", "heads."
FIRST_LAYER = {"resnet50": "conv1.weight", "densenet121": "features.conv0.weight"}
"""The weight by whose name the two are told apart."""
CLASSIFIERS = ("fc.", "classifier.")
"""ImageNet's own classifier, which came along unused."""
COUNTS = "num_batches_tracked"
USUAL_PX = 224
LICENCE = "MIT (of its repository)"


class MtdpNetwork(TimmNetwork):
    """A trunk of Mormont et al., built by timm.

    Their DenseNet ends with its last normalisation: the averages are taken of what it gives, negative numbers
    too, while torchvision's and timm's are taken of its positive part.

    Args:
        model_name: ``resnet50`` or ``densenet121``.
        code_size: D; None: the features are the code (2048 or 1024 numbers).
        tile_px: Side of the tiles.
        described: Colours; None: those of ImageNet.

    Raises:
        EncoderError: timm is absent or does not import, or the model is neither.
    """

    def __init__(
        self,
        model_name: str,
        code_size: int | None = None,
        tile_px: int = USUAL_PX,
        described: TrunkDescription | None = None,
    ) -> None:
        if model_name not in FIRST_LAYER:
            raise EncoderError(
                f"Build the encoder '{FAMILY}:{model_name}'.",
                "There is no such trunk.",
                f"Use {FAMILY}:{f' or {FAMILY}:'.join(FIRST_LAYER)}.",
            )
        super().__init__(model_name, code_size, tile_px, described=described or imagenet_trunk())
        if model_name == "densenet121":
            cast(Any, self.trunk).features.norm5.act = nn.Identity()


class MtdpEncoder(TimmEncoder):
    """A :class:`MtdpNetwork` with weights, of architecture ``mtdp:resnet50`` or ``mtdp:densenet121``."""

    architecture = FAMILY

    @classmethod
    def create(cls, device: str, precision: str) -> Self:
        """Refuse: this encoder needs weights.

        Raises:
            EncoderError: Always.
        """
        raise EncoderError(
            f"Use the encoder {FAMILY!r}.",
            "It names two architectures, without weights.",
            "Import the released file: histonic encoder import FILE.pth --mpp MPP --out E.safetensors",
        )

    @classmethod
    def build(cls, spec: EncoderSpec) -> MtdpNetwork:
        """The network of a spec, with fresh weights."""
        model_name = spec.architecture.partition(":")[2]
        return MtdpNetwork(model_name, spec.code_size, spec.tile_px, spec.trunk)


def imagenet_trunk() -> TrunkDescription:
    """The colours that the trunks were trained on: ImageNet's, as the paper says."""
    return TrunkDescription({}, "model", *IMAGENET)


def is_multitask_trunk(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is of a trunk with heads beside it, as Mormont et al. keep it.

    Example:
        >>> one = torch.zeros(1)
        >>> is_multitask_trunk({"features.conv1.weight": one, "heads.lung.fc.weight": one})
        True
        >>> is_multitask_trunk({"conv1.weight": one, "fc.weight": one})
        False
    """
    names = [name for name in state if not name.startswith(HEADS)]
    has_heads = len(names) < len(state)
    # A DenseNet of torchvision, too, has all its trunk under "features.", but nothing else but a classifier.
    return (
        bool(names)
        and all(name.startswith(TRUNK) for name in names)
        and (has_heads or any(f"{TRUNK}{first}" in state for first in FIRST_LAYER.values()))
    )


def trunk_state(state: Mapping[str, Tensor], asked: str) -> tuple[str, dict[str, Tensor]]:
    """Which of the two trunks a state dict is of, and its weights under torchvision's names.

    Raises:
        EncoderError: It is of neither; names the weights that are there.
    """
    names = [name for name in state if not name.startswith(HEADS)]
    # A DenseNet keeps its layers under "features." itself, so that the word stands there twice.
    own = {name.removeprefix(TRUNK): state[name] for name in names}
    for model_name, first in FIRST_LAYER.items():
        if first in own:
            kept = {name: value for name, value in own.items() if not name.startswith(CLASSIFIERS)}
            return model_name, kept
    wanted = " nor ".join(f"{TRUNK}{first!s} ({name})" for name, first in FIRST_LAYER.items())
    raise EncoderError(
        asked,
        f"It has heads of several tasks, but neither {wanted}; its first weight is {min(names)!r}.",
        "Give the released file of ResNet50 or DenseNet121, or say --architecture timm:MODEL of a plain one.",
    )


def read_mtdp(path: Path, state: Mapping[str, Tensor], said: Said, asked: str) -> MtdpEncoder:
    """An encoder of a released file.

    Args:
        path: The file, for messages.
        state: Its weights.
        said: What the user says of it; the resolution must be, as the pool of tasks had many.
        asked: What was asked for, for messages.

    Raises:
        EncoderError: Weights are missing, there are others, or of other shapes; names them. Or the resolution
            is not said, or what is said cannot be of it.
    """
    if said.pooling not in (None, "model"):
        raise EncoderError(
            asked,
            f"--pooling {said.pooling} is of transformers; this is a convolutional trunk.",
            "Leave it out.",
        )
    model_name, own = trunk_state(state, asked)
    colours = said.colours if said.colours not in (None, "timm") else IMAGENET
    described = TrunkDescription({}, "model", *cast(Any, colours))
    tile_px = said.tile_px or USUAL_PX
    network = MtdpNetwork(model_name, None, tile_px, described)
    wanted = network.trunk.state_dict()
    for name, value in wanted.items():
        # Files of early PyTorch do not count batches; nothing depends on the count.
        if name.endswith(COUNTS):
            own.setdefault(name, torch.zeros_like(value))
    found = misfit_of(wanted, own)
    if found is not None:
        raise EncoderError(
            asked,
            f"It looks like the {model_name} of Mormont et al., but: {found}",
            "Give the released file as it was downloaded.",
        )
    check_finite(own, asked)
    network.trunk.load_state_dict(own)
    tasks = len({name.split(".")[1] for name in state if name.startswith(HEADS)})
    source = f"{model_name} of Mormont et al. 2020 ({path.name}), heads of {tasks} tasks left out"
    architecture = f"{FAMILY}:{model_name}"
    named = Said(
        colours=said.colours,
        tile_px=said.tile_px,
        mpp=said.mpp,
        licence=said.licence or LICENCE,
        name=said.name or f"{FAMILY}-{model_name}",
    )
    spec = spec_of(named, None, architecture, tile_px, network.code_size, described, source, asked)
    return MtdpEncoder(spec, network)
