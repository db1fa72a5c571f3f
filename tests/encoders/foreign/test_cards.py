"""Cards of imported encoders say what their codes depend on."""

from __future__ import annotations

from histonic.core.compressed import TrunkDescription
from histonic.encoders.base import EncoderSpec
from histonic.encoders.foreign.cards import card_of


def test_colours_pooling_and_licence_stand_in_the_card() -> None:
    trunk = TrunkDescription({"reg_tokens": 4}, "cls+mean", (0.7, 0.5, 0.6), (0.2, 0.25, 0.1), "virchow2")
    card = card_of(EncoderSpec("v", "timm:vit", 224, 0.5, 2560, licence="not stated", trunk=trunk))
    for words in ("0.7, 0.5, 0.6", "0.2, 0.25, 0.1", "class token and mean", "not stated", '"reg_tokens": 4'):
        assert words in card
    assert "224 px at 0.5 µm/px" in card and "| preset | virchow2 |" in card
