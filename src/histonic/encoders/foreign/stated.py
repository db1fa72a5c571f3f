"""What is known of an encoder from elsewhere: said by the user, in its files, by a preset; never guessed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from histonic.core.compressed import TrunkDescription
from histonic.core.errors import EncoderError
from histonic.core.settings import Pooling
from histonic.encoders.base import EncoderSpec
from histonic.encoders.foreign.presets import Colours, Preset

NOT_STATED = "not stated"
SAME_COLOUR = 1e-3
TwoColours = tuple[Colours, Colours]


@dataclass(frozen=True)
class Said:
    """What a user says of an encoder; None where its files or a preset have to say it.

    Attributes:
        architecture: Such as ``timm:resnet50``; folders and TorchScript need none.
        colours: Mean and deviation of red, green, blue; ``timm``: those of timm's own weights.
        pooling: What is the code.
        tile_px: Side of the tiles.
        mpp: Microns per pixel of the tiles.
        licence: Of the weights.
        name: The encoder's own name.
    """

    architecture: str | None = None
    colours: TwoColours | Literal["timm"] | None = None
    pooling: Pooling | None = None
    tile_px: int | None = None
    mpp: float | None = None
    licence: str | None = None
    name: str | None = None


def facts_in(file: Path, asked: str) -> dict[str, Any]:
    """What a JSON file of a hub folder says; nothing if it is not there.

    Raises:
        EncoderError: It is damaged.
    """
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EncoderError(asked, f"{file} cannot be read: {error}.", "Download the folder again.") from error
    if not isinstance(found, dict):
        raise EncoderError(asked, f"{file} holds no configuration.", "Download the folder again.")
    return found


def colours_in(facts: Mapping[str, Any], mean: str = "mean", std: str = "std") -> TwoColours | None:
    """Mean and deviation as a configuration states them; None if it does not."""
    found = facts.get(mean), facts.get(std)
    if not all(isinstance(each, list | tuple) and len(each) == 3 for each in found):
        return None
    try:
        return cast(TwoColours, tuple(tuple(float(level) for level in each) for each in found if each))
    except (TypeError, ValueError):
        return None


def colours_of(said: Said, stated: TwoColours | None, preset: Preset | None, asked: str) -> TwoColours:
    """The colours that the weights were trained on.

    Args:
        said: By the user, who has the last word.
        stated: In the files.
        preset: If one was named, or is the only one that fits.
        asked: What was asked for, for messages.

    Raises:
        EncoderError: Nothing says them, files and preset say different ones, or they are none of 0..1.
    """
    if said.colours is not None and said.colours != "timm":
        return _checked(said.colours, "What was given says", asked)
    if stated is not None:
        _checked(stated, "Its files say", asked)
    if stated is not None and preset is not None and not _alike(stated, preset.colours):
        raise EncoderError(
            asked,
            f"Its files say mean {stated[0]} and std {stated[1]}; the preset {preset.name} has "
            f"{preset.colours[0]} and {preset.colours[1]}.",
            "Say which are right: --mean and --std; or name another preset.",
        )
    found = stated or (preset.colours if preset else None)
    if found is None:
        raise EncoderError(
            asked,
            "Nothing says which colours (mean and deviation) its weights were trained on; with others its "
            "codes are wrong.",
            "Give --preset NAME, or --mean R,G,B --std R,G,B, or --colours timm for timm's own weights.",
        )
    return found


def _checked(colours: TwoColours, who: str, asked: str) -> TwoColours:
    mean, std = colours
    # A comparison with NaN is false, too.
    if all(0 <= level <= 1 for level in mean) and all(0 < level <= 1 for level in std):
        return colours
    raise EncoderError(
        asked,
        f"{who} mean {mean} and std {std}, which are no colours of 0..1.",
        "Give --mean and --std of 0..1; those of 0..255 are to be divided by 255.",
    )


def _alike(first: TwoColours, second: TwoColours) -> bool:
    pairs = zip((*first[0], *first[1]), (*second[0], *second[1]), strict=True)
    return all(abs(one - other) < SAME_COLOUR for one, other in pairs)


def spec_of(
    said: Said,
    preset: Preset | None,
    architecture: str,
    tile_px: int,
    code_size: int,
    described: TrunkDescription,
    source: str,
    asked: str,
) -> EncoderSpec:
    """The spec of an imported encoder.

    Raises:
        EncoderError: Nothing says the resolution of its tiles, or its codes are of another length than those
            of the preset.
    """
    if preset is not None and code_size not in preset.sizes:
        raise EncoderError(
            asked,
            f"It gives {code_size} numbers a tile, the preset {preset.name} {preset.code_size}.",
            "Name the preset of these weights; of others leave it out, and say --mean, --std and --mpp.",
        )
    mpp = said.mpp or (preset.mpp if preset else None)
    if mpp is None:
        raise EncoderError(
            asked,
            "Nothing says at which resolution its tiles are.",
            "Give --mpp, the microns per pixel that the weights were trained at, such as 0.5 for 20x.",
        )
    return EncoderSpec(
        said.name or (preset.name if preset else architecture.partition(":")[2] or architecture),
        architecture,
        tile_px,
        mpp,
        code_size,
        licence=said.licence or (preset.licence if preset else NOT_STATED),
        provenance=f"imported: {source}",
        trunk=described,
    )
