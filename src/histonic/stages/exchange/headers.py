"""What the files of a slide say of their encoder, and what the encoder of all maps is called."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from histonic.core.compressed import ELSEWHERE, EncoderDescription, EncoderSpec, MapSettings
from histonic.core.errors import SettingsError, StoreError
from histonic.data.exchange.placing import nominal_mpp
from histonic.data.exchange.tile_features import Form, Found, Request, TileFeatures, unreadable
from histonic.data.maps.store import Store
from histonic.stages.exchange.resolutions import SlideEntry, level0_mpp
from histonic.stages.exchange.settings import ImportFeaturesSettings


@dataclass(frozen=True)
class Header:
    """What the files of a slide say of its encoder."""

    encoder: str
    code_size: int
    tile_px: int | None
    mpp: float | None
    carried: EncoderDescription | None
    settings: MapSettings | None
    stride_px: int | None


def header_of(features: TileFeatures, entry: SlideEntry | None, settings: ImportFeaturesSettings) -> Header:
    """The header of one slide; its resolution is that by which maps of about the same are called."""
    mpp = features.tile_mpp
    if mpp is None and features.side is not None and features.tile_px is not None and features.unit == "px":
        level0 = level0_mpp(features, entry, settings)
        mpp = None if level0 is None else nominal_mpp(level0 * features.side / features.tile_px)
    carried = None if features.carried is None else features.carried.facts
    return Header(
        features.encoder,
        features.shape[1],
        features.tile_px,
        mpp,
        None if carried is None else carried.encoder,
        None if carried is None else carried.settings,
        _stride_px(features),
    )


def _stride_px(features: TileFeatures) -> int | None:
    """Step from tile to tile in pixels of the tiles; None: they touch, or it is not known."""
    if features.side is None or features.step is None or features.tile_px is None:
        return None
    stride = round(features.tile_px * features.step / features.side)
    return None if stride == features.tile_px else max(1, stride)


def read_features(form: Form, found: Found, request: Request) -> TileFeatures:
    """What a slide's file says.

    Raises:
        SlideError: It cannot be read, whatever is wrong with it, or lacks the features that were asked for.
        SettingsError: It holds those of several encoders, of which none was named.
    """
    try:
        return form.read(found, request)
    except SettingsError as error:
        if not request.features:
            raise  # several encoders, of which the user names one
        raise unreadable(found.slide_id, found.path, error.found, error.todo) from error
    except (ValueError, TypeError, AttributeError, LookupError, RuntimeError, OSError) as error:
        raise unreadable(found.slide_id, found.path, f"It cannot be read: {error}.") from error


def encoder_of(
    form: Form, usable: Sequence[Found], headers: Mapping[str, Header], settings: ImportFeaturesSettings
) -> tuple[EncoderDescription, MapSettings]:
    """The encoder of the maps: that of most files, or of the store if there is one.

    Raises:
        StoreError: The store holds maps of another encoder.
    """
    kinds = Counter(headers[each.slide_id] for each in usable if headers[each.slide_id].code_size)
    if not kinds:
        kinds = Counter(headers.values())
    most = kinds.most_common(1)[0][0]
    if most.carried is not None and most.settings is not None:
        described, map_settings = most.carried, most.settings
    else:
        mpps = [
            kind.mpp for kind in kinds.elements() if kind.mpp is not None and kind.tile_px == most.tile_px
        ]
        mpp = Counter(mpps).most_common(1)[0][0] if mpps else 1.0
        described = imported_encoder(form.tool, most.encoder, most.tile_px or 1, mpp, most.code_size or 1)
        map_settings = MapSettings(stride_px=most.stride_px)
    store = Store.open(settings.out)
    if store.slide_ids and store.encoder.fingerprint != described.fingerprint:
        spec, own = described.spec, store.encoder.spec
        raise StoreError(
            f"Import {settings.folder} into {settings.out}.",
            f"Its maps are by {store.encoder.name!r} ({own.provenance}; {own.code_size} numbers), "
            f"the features by {described.name!r} ({spec.provenance}; {spec.code_size} numbers).",
            "Keep one encoder per store: choose another --out.",
        )
    if store.slide_ids and store.settings != map_settings:
        raise StoreError(
            f"Import {settings.folder} into {settings.out}.",
            "Its maps were made with other settings (tissue, orientations, precision).",
            "Choose another --out.",
        )
    return described, map_settings


def imported_encoder(tool: str, name: str, tile_px: int, mpp: float, code_size: int) -> EncoderDescription:
    """The description of an encoder that another tool ran.

    Its fingerprint is that of tool, name, tile, resolution and size of the code: weights are not known.

    Args:
        tool: Such as ``TRIDENT``.
        name: The encoder's name there.
        tile_px: Side of the tiles that it saw.
        mpp: Microns per pixel by which those tiles are called.
        code_size: D.

    Example:
        >>> imported_encoder("TRIDENT", "uni_v1", 256, 0.5, 1024).spec.tool
        'TRIDENT'
    """
    spec = EncoderSpec(
        name,
        f"{ELSEWHERE}:{tool}",
        tile_px,
        mpp,
        code_size,
        normalisation="not known",
        provenance=f"features of {tool}, {tile_px} px at {mpp:g} µm/px",
    )
    facts = ["imported features", tool, name, tile_px, float(f"{mpp:.6g}"), code_size]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return EncoderDescription(name=name, fingerprint=digest, spec=spec)
