"""What the shipped encoder has seen, which a study must say."""

from __future__ import annotations

from histonic.encoders.shipped import MULTITASK
from histonic.stages.study.frame.cases import Finding
from histonic.stages.study.frame.settings import RecipeSettings


def shipped_encoder_note(settings: RecipeSettings, seen: str, *, trains: bool = False) -> list[Finding]:
    """A warning, if the shipped encoder is used, that it learned from images of the same challenge.

    Args:
        settings: Of the recipe.
        seen: What of the challenge it has seen.
        trains: Whether the recipe trains an encoder of its own where none is named.
    """
    is_trained = trains and "encoder" not in settings.model_fields_set
    if settings.encoder_config is not None or settings.encoder != MULTITASK or is_trained:
        return []
    return [
        Finding(
            "warning",
            f"The encoder {MULTITASK} learned from {seen}.",
            "Say so with the result, or take another: --encoder, --encoder-config.",
        )
    ]
