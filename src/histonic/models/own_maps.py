"""Whether maps are such as a bundle was trained with."""

from __future__ import annotations

from collections.abc import Sequence

from histonic.core.cohort import part_of
from histonic.core.compressed import CompressedSlide
from histonic.core.errors import BundleError, SettingsError
from histonic.models.bundle import Bundle


def require_own_maps(bundle: Bundle, maps: Sequence[CompressedSlide]) -> None:
    """Refuse maps of another encoder or stride, and two of one name.

    Raises:
        BundleError: A map was made by another encoder, or its tiles stand otherwise than the training's.
        SettingsError: Two maps have one name.
    """
    names = [slide.slide_id for slide in maps]
    whole = bundle
    for slide in maps:
        bundle = whole.of_part(part_of(slide.slide_id))
        if slide.encoder.fingerprint != bundle.encoder.fingerprint:
            raise BundleError(
                f"Predict the map {slide.slide_id!r} with {bundle.folder}.",
                f"The map was made by {slide.encoder.name!r}, the bundle needs {bundle.encoder.name!r} "
                "(or the same name with other weights or precision).",
                bundle.how_to_make_maps(),
            )
        steps = [made.stride_px for made in (slide.settings, bundle.compress_settings)]
        if steps[0] != steps[1]:
            own, wanted = ("as wide as a tile" if step is None else f"{step} px" for step in steps)
            raise BundleError(
                f"Predict the map {slide.slide_id!r} with {bundle.folder}.",
                f"Its stride is {own}, that of the training maps {wanted}.",
                bundle.how_to_make_maps("Give the slide itself, or compress it with the same --stride-px."),
            )
        own_stain, stain = slide.settings.stain, bundle.compress_settings.stain
        if own_stain != stain and not (stain is not None and stain.same_colours(own_stain)):
            said = ["as they are" if each is None else f"by {each.words}" for each in (own_stain, stain)]
            raise BundleError(
                f"Predict the map {slide.slide_id!r} with {bundle.folder}.",
                f"Its stains were taken {said[0]}, those of the training maps {said[1]}.",
                bundle.how_to_make_maps("Give the slide itself, or compress it with the same --stain."),
            )
        if names.count(slide.slide_id) > 1:
            raise SettingsError(
                "Predict.", f"Two slides are called {slide.slide_id!r}.", "Predict them one after the other."
            )
