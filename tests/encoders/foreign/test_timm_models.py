"""Models of timm by name and arguments."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from histonic.core.errors import EncoderError
from histonic.encoders.foreign.timm_models import make_model

TINY = {"embed_dim": 48, "depth": 1, "num_heads": 2}


def test_classes_are_named(timm: Any) -> None:
    from timm.layers import SwiGLUPacked

    arguments = {**TINY, "mlp_layer": "SwiGLUPacked", "act_layer": "SiLU", "reg_tokens": 3}
    model: Any = make_model("vit_small_patch16_224", 64, arguments, "Build it.")
    wanted = timm.create_model(
        "vit_small_patch16_224",
        num_classes=0,
        img_size=64,
        **{**TINY, "mlp_layer": SwiGLUPacked, "act_layer": torch.nn.SiLU, "reg_tokens": 3},
    )
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in wanted.state_dict().items()}
    assert isinstance(model.blocks[0].mlp.act, torch.nn.SiLU)


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize("arguments", [{"mlp_layer": "no_such"}, {"mlp_layer": "os"}, {"no_such": 3}])
def test_arguments_that_the_model_does_not_have(arguments: dict[str, Any]) -> None:
    with pytest.raises(EncoderError, match=r"no_such|'os'"):
        make_model("vit_small_patch16_224", 64, {**TINY, **arguments}, "Build it.")
