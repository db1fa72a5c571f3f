"""What the shipped encoders have seen, which a study must say."""

from __future__ import annotations

from histonic.encoders.shipped import LITE, SHIPPED
from histonic.stages.study.frame.cases import Finding
from histonic.stages.study.frame.settings import RecipeSettings

SEEN_BY_LITE = (
    "tiles of PatchCamelyon and crops of TUPAC16 and MIDOG 2021: its components without their labels, the "
    "heads that the aggregator 'votes' looks at with them"
)


def shipped_encoder_note(settings: RecipeSettings, seen: str, *, trains: bool = False) -> list[Finding]:
    """A warning, if a shipped encoder is used, that it learned from images of the same challenge.

    Args:
        settings: Of the recipe.
        seen: What of the challenge ``histonic-mtl`` has seen.
        trains: Whether the recipe trains an encoder of its own where none is named.
    """
    is_trained = trains and "encoder" not in settings.model_fields_set
    if settings.encoder_config is not None or settings.encoder not in SHIPPED or is_trained:
        return []
    told = SEEN_BY_LITE if settings.encoder == LITE else seen
    return [
        Finding(
            "warning",
            f"The encoder {settings.encoder} learned from {told}.",
            "Say so with the result, or take another: --encoder, --encoder-config.",
        )
    ]
