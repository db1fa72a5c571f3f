"""Model cards of imported encoders."""

from __future__ import annotations

import json

from histonic.core.settings import Pooling
from histonic.encoders.base import EncoderSpec

MOST_CHARACTERS = 400
POOLINGS: dict[Pooling, str] = {
    "model": "the model's own pooled features",
    "cls": "class token",
    "mean": "mean of the patch tokens",
    "cls+mean": "class token and mean of the patch tokens",
}


def card_of(spec: EncoderSpec) -> str:
    """The model card of an encoder from elsewhere, as Markdown.

    Example:
        >>> card_of(EncoderSpec("mine", "nic", 128, 0.5, 16)).splitlines()[0]
        '# mine'
    """
    rows = {
        "takes": f"tiles of {spec.tile_px} px at {spec.mpp:g} µm/px",
        "gives": f"{spec.code_size} numbers",
        "architecture": spec.architecture,
        "weights": spec.provenance,
        "licence": spec.licence,
    }
    if spec.trunk is not None:
        rows |= {
            "preset": spec.trunk.preset or "none",
            "colours, mean": ", ".join(f"{each:g}" for each in spec.trunk.mean),
            "colours, deviation": ", ".join(f"{each:g}" for each in spec.trunk.std),
            "code": POOLINGS[spec.trunk.pooling],
            "arguments": json.dumps(dict(spec.trunk.arguments), sort_keys=True)[:MOST_CHARACTERS],
        }
    lines = [f"# {spec.name}", "", "| what | value |", "| --- | --- |"]
    lines += [f"| {what} | {value} |" for what, value in rows.items()]
    lines += [
        "",
        "Imported by `histonic encoder import`; nothing was trained. Keep to the licence of the weights.",
    ]
    return "\n".join(lines) + "\n"
