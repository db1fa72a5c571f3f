"""The encoder of the maps that are trained on, and what it says of tiles."""

from __future__ import annotations

from histonic.core.errors import EncoderError, HistonicError
from histonic.core.progress import Progress, heard
from histonic.data.maps.store import Store, encoder_path
from histonic.encoders.base import Encoder, load_encoder
from histonic.encoders.scale import tile_um_of
from histonic.encoders.shipped import MULTITASK, SHIPPED
from histonic.encoders.tile_heads import HEADS_FILE, heads_beside, load_slide_heads
from histonic.nn.heads import Heads


def find_tile_heads(store: Store, progress: Progress | None = None) -> Heads:
    """The heads of the encoder of a store's maps, but those that learned from enlarged objects.

    Args:
        store: The maps.
        progress: Is told which heads are left out.

    Raises:
        EncoderError: There are none, or none that holds on slides.
        TrainingError: Their file is damaged.
    """
    path = heads_beside(encoder_path(store.path))
    name = store.encoder.name
    if path is None and name in SHIPPED and find_encoder(store, name) is not None:
        # Made before stores kept heads.
        path = heads_beside(name)
    if path is None:
        asked = f"Look at the tiles of the store {store.path} by its encoder's heads."
        if (side := tile_um_of(store.encoder.spec)) is not None:
            raise EncoderError(
                asked,
                f"It was compressed with --tile-um {side:g}, and what the heads of {name!r} say holds for "
                "tiles of its own size alone.",
                "Compress without --tile-um into another store, or use another --aggregator.",
            )
        raise EncoderError(
            asked,
            f"The encoder {store.encoder.name!r} has none that belong to it: no multitask encoder, or its "
            f"{HEADS_FILE} was not beside it when the slides were compressed.",
            f"Copy the {HEADS_FILE} of the encoder's own training into the store, compress with "
            f"{MULTITASK}, or use another --aggregator. Into a store of --tile-um no heads belong.",
        )
    heads, left_out = load_slide_heads(path)
    for name, times in left_out.items():
        heard(progress).warn(
            f"the head {name!r} is left out: the objects it learned from were {times:.1f} times as large as "
            "on a slide"
        )
    return heads


def find_encoder(store: Store, name: str | None = None) -> Encoder | None:
    """The encoder of a store's maps, from beside them or by a name; None if it is gone or another one."""
    try:
        encoder = load_encoder(name or encoder_path(store.path), precision=store.settings.precision)
    except HistonicError:
        return None
    return encoder if encoder.fingerprint == store.encoder.fingerprint else None
