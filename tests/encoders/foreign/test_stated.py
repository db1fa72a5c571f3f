"""Who says what of an encoder from elsewhere; what nobody says is asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from histonic.core.compressed import TrunkDescription
from histonic.core.errors import EncoderError
from histonic.encoders.foreign.presets import PRESETS, Colours
from histonic.encoders.foreign.stated import Said, colours_in, colours_of, spec_of

OWN = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
UNI = PRESETS["uni"]
IMAGENET = UNI.colours


def test_the_user_has_the_last_word_on_colours() -> None:
    assert colours_of(Said(colours=OWN), IMAGENET, PRESETS["lunit-vits16"], "x") == OWN
    assert colours_of(Said(), OWN, None, "x") == OWN
    assert colours_of(Said(), IMAGENET, UNI, "x") == IMAGENET
    assert colours_of(Said(), None, UNI, "x") == IMAGENET


def test_colours_that_nobody_says_or_that_contradict_are_refused() -> None:
    with pytest.raises(EncoderError, match="Nothing says which colours"):
        colours_of(Said(), None, None, "Import it.")
    with pytest.raises(EncoderError, match="Say which are right"):
        colours_of(Said(), OWN, UNI, "Import it.")


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((123.675, 116.28, 103.53), (58.4, 57.1, 57.4)),
        ((0.5, 0.5, 0.5), (0.0, 0.2, 0.2)),
        ((0.5, 0.5, 0.5), (-0.2, 0.2, 0.2)),
        ((float("nan"), 0.5, 0.5), (0.2, 0.2, 0.2)),
    ],
)
def test_what_are_no_colours_is_refused(mean: Colours, std: Colours) -> None:
    for said, stated in ((Said(), (mean, std)), (Said(colours=(mean, std)), None)):
        with pytest.raises(EncoderError, match=r"no colours of 0\.\.1"):
            colours_of(said, stated, None, "Import it.")
    assert colours_of(Said(colours=OWN), (mean, std), None, "x") == OWN


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"mean": [1, 2, 3]},
        {"mean": 0.5, "std": 0.5},
        {"mean": [1], "std": [2]},
        {"mean": ["a", "b", "c"], "std": [1, 1, 1]},
        {"mean": [None] * 3, "std": [1, 1, 1]},
    ],
)
def test_a_configuration_without_both_colours_states_none(facts: dict[str, object]) -> None:
    assert colours_in(facts) is None
    assert colours_in({"a": [0.1, 0.2, 0.3], "b": [0.4, 0.5, 0.6]}, "a", "b") == OWN


def test_resolution_and_licence() -> None:
    trunk = TrunkDescription({}, "cls", *OWN)

    def spec(said: Said, preset: object = None):  # type: ignore[no-untyped-def]
        return spec_of(said, preset, "timm:resnet18", 224, 512, trunk, "w.pth", "Import it.")  # type: ignore[arg-type]

    with pytest.raises(EncoderError, match="--mpp"):
        spec(Said())
    assert spec(Said(mpp=0.25)).licence == "not stated"
    assert (spec(Said(mpp=0.25)).mpp, spec(Said(mpp=0.25)).name) == (0.25, "resnet18")
    with pytest.raises(EncoderError, match="gives 512 numbers a tile, the preset uni 1024"):
        spec(Said(), UNI)
    given = spec(Said(licence="mine", name="own"), replace(UNI, code_size=512))
    assert (given.licence, given.name, given.mpp) == ("mine", "own", 0.5)
    assert spec(Said(), replace(UNI, code_size=256)).licence == UNI.licence  # class token and mean
    assert PRESETS["virchow2"].sizes == {1280, 2560}
