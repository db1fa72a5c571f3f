"""A store that verbs can work on has maps; what has none is called what it is."""

from __future__ import annotations

from histonic.core.errors import StoreError
from histonic.core.places.kinds import no_store
from histonic.data.maps.store import Store


def require_maps(store: Store, asked: str) -> None:
    """Refuse a store without maps, and a folder that is none.

    Args:
        store: Opened.
        asked: What it is wanted for.

    Raises:
        StoreError: It holds no map; says what it is instead.
    """
    if store.slide_ids:
        return
    failed = len(store.failures())
    other = no_store(store.path)
    if other is not None:
        raise StoreError(asked, f"It holds no map: {other[0][:1].lower()}{other[0][1:]}", other[1])
    why = f" ({failed} slides failed)" if failed else ""
    raise StoreError(asked, f"It holds no map{why}.", "Make maps with 'histonic compress'.")
