"""Foundation encoders of pathology by name: architecture, colours, pooling, resolution and licence.

The facts are those of the official model cards and loaders. Weights are never shipped or fetched; a preset
says how a file that the user has is to be read.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from histonic.core.compressed import TrunkDescription
from histonic.core.errors import EncoderError
from histonic.core.settings import Pooling

Colours = tuple[float, float, float]
IMAGENET: tuple[Colours, Colours] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES: tuple[Colours, Colours] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
HOPTIMUS: tuple[Colours, Colours] = ((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))
LUNIT: tuple[Colours, Colours] = (
    (0.70322989, 0.53606487, 0.66096631),
    (0.21716536, 0.26081574, 0.20723464),
)
OPEN = "open (Kaiko)"
GATED = "CC-BY-NC-ND-4.0, gated"
SWIGLU = {"mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"}


@dataclass(frozen=True)
class Preset:
    """How the weights of one foundation encoder are to be read.

    Attributes:
        name: As in ``--preset``.
        architecture: Entry of the registry and model, such as ``timm:vit_large_patch16_224``.
        arguments: Of the architecture, plain values.
        colours: Mean and deviation of red, green, blue that the weights were trained on.
        pooling: What is the code unless said otherwise, as the model's authors advise it for a tile.
        code_size: D of that pooling.
        licence: Of the weights, as their authors state it.
        own_shapes: Whether no other weights are known that fit the architecture, so that weights that fit it
            are these.
        prefix: Tokens before those of the patches: class token and registers.
        tile_px: Side of the tiles.
        mpp: Microns per pixel of the tiles.
    """

    name: str
    architecture: str
    arguments: Mapping[str, Any]
    colours: tuple[Colours, Colours]
    pooling: Pooling
    code_size: int
    licence: str
    own_shapes: bool = False
    prefix: int = 1
    tile_px: int = 224
    mpp: float = 0.5

    @property
    def sizes(self) -> frozenset[int]:
        """Code sizes that its poolings give."""
        one = self.code_size // 2 if self.pooling == "cls+mean" else self.code_size
        return frozenset((one, 2 * one))

    def described(self, pooling: Pooling | None = None) -> TrunkDescription:
        """How its network is built and what it sees."""
        return TrunkDescription(dict(self.arguments), pooling or self.pooling, *self.colours, self.name)


def _timm(
    name: str,
    model: str,
    colours: tuple[Colours, Colours],
    code_size: int,
    licence: str,
    arguments: Mapping[str, Any] | None = None,
    pooling: Pooling = "cls",
    own_shapes: bool = False,
    prefix: int = 1,
) -> Preset:
    built = {"img_size": 224, **(arguments or {})}
    return Preset(name, f"timm:{model}", built, colours, pooling, code_size, licence, own_shapes, prefix)


SCALED = {"init_values": 1e-5}
GIANT = "vit_giant_patch14_reg4_dinov2"
UNI2 = {
    "depth": 24,
    "num_heads": 24,
    "embed_dim": 1536,
    "mlp_ratio": 5.33334,
    "reg_tokens": 8,
    "no_embed_class": True,
    "dynamic_img_size": True,
}
VIRCHOW2 = {"mlp_ratio": 5.3375, "reg_tokens": 4}
PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        _timm("uni", "vit_large_patch16_224", IMAGENET, 1024, GATED, {**SCALED, "dynamic_img_size": True}),
        _timm(
            "uni2-h",
            "vit_giant_patch14_224",
            IMAGENET,
            1536,
            GATED,
            {**SCALED, **UNI2, **SWIGLU},
            own_shapes=True,
            prefix=9,
        ),
        _timm(
            "virchow2",
            "vit_huge_patch14_224",
            IMAGENET,
            2560,
            GATED,
            {**SCALED, **VIRCHOW2, **SWIGLU},
            "cls+mean",
            own_shapes=True,
            prefix=5,
        ),
        _timm("h-optimus-0", GIANT, HOPTIMUS, 1536, "Apache-2.0", SCALED, prefix=5),
        _timm("h-optimus-1", GIANT, HOPTIMUS, 1536, GATED, SCALED, prefix=5),
        _timm(
            "h0-mini",
            "vit_base_patch14_reg4_dinov2",
            HOPTIMUS,
            768,
            GATED,
            {**SCALED, **SWIGLU, "mlp_ratio": 5.33334},
            own_shapes=True,
            prefix=5,
        ),
        _timm(
            "gigapath",
            "vit_giant_patch14_dinov2",
            IMAGENET,
            1536,
            "research use, gated",
            {"patch_size": 16},
            own_shapes=True,
        ),
        _timm("kaiko-vits8", "vit_small_patch8_224", HALVES, 384, OPEN),
        _timm("kaiko-vits16", "vit_small_patch16_224", HALVES, 384, OPEN),
        _timm("kaiko-vitb8", "vit_base_patch8_224", HALVES, 768, OPEN),
        _timm("kaiko-vitb16", "vit_base_patch16_224", HALVES, 768, OPEN),
        _timm("kaiko-vitl14", "vit_large_patch14_reg4_dinov2", HALVES, 1024, OPEN, prefix=5),
        _timm("lunit-vits16", "vit_small_patch16_224", LUNIT, 384, "non-commercial"),
        _timm("gpfm", "vit_large_patch14_dinov2", IMAGENET, 1024, "MIT"),
        # Models of transformers bring their architecture in config.json.
        Preset("phikon", "transformers:vit", {}, IMAGENET, "cls", 768, "non-commercial (Owkin)"),
        Preset("phikon-v2", "transformers:dinov2", {}, IMAGENET, "cls", 1024, "non-commercial (Owkin)"),
        Preset("midnight-12k", "transformers:dinov2", {}, HALVES, "cls+mean", 3072, "MIT"),
    )
}


def preset_of(name: str, asked: str) -> Preset:
    """A preset by its name.

    Raises:
        EncoderError: There is none of that name.

    Example:
        >>> preset_of("virchow2", "Import it.").code_size
        2560
    """
    if name in PRESETS:
        return PRESETS[name]
    near = difflib.get_close_matches(name.lower(), PRESETS, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise EncoderError(asked, f"There is no preset {name!r}.", f"{hint}The presets are {', '.join(PRESETS)}.")
