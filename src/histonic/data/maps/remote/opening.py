"""Opening stores wherever they lie."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from histonic.core.compressed import CompressedSlide
from histonic.core.objects.objects import Objects
from histonic.core.places.urls import Url, place_of
from histonic.core.progress import Progress
from histonic.data.maps.remote.mirror import Mirror
from histonic.data.maps.store import Store


@dataclass(frozen=True, repr=False)
class RemoteStore(Store):
    """A store in an object store, or behind a web server: maps are fetched when they are asked for, once.

    Attributes:
        mirror: Its copy on this machine, in which ``path`` lies.
    """

    mirror: Mirror | None = field(default=None, compare=False)

    def map(self, slide_id: str) -> CompressedSlide:
        """See :meth:`Store.map`."""
        fetch_maps(self, [slide_id])
        return super().map(slide_id)

    def thumbnail(self, slide_id: str) -> Path | None:
        """See :meth:`Store.thumbnail`."""
        if self.mirror is not None:
            self.mirror.fetch_pictures([slide_id])
        return super().thumbnail(slide_id)


def open_store(place: str | os.PathLike[str] | Url, *, joined: bool = False) -> Store:
    """Open a store in a folder, in an object store or behind a web server.

    Of a remote store the facts of all maps are read; a map itself is fetched once, when it is asked for,
    compared with its hashes, and kept in ``~/.cache/histonic/stores`` (``HISTONIC_CACHE`` names another
    place).

    Args:
        place: A folder, or ``s3://bucket/prefix``, ``gs://...``, ``https://...``.
        joined: Its patients can have several stains or scales; of folders only.

    Raises:
        StoreError: It is not there, cannot be read, is damaged, or holds maps of different encoders.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     len(open_store(folder))
        0
    """
    found = place_of(place)
    if not isinstance(found, Url):
        return Store.open(cast("str | os.PathLike[str]", found), joined=joined)
    mirror = Mirror(Objects(found))
    mirror.refresh()
    store = Store.open(mirror.folder)
    return RemoteStore(
        store.path, store.slide_ids, store.first, store.kept_cells, store.all_cells, store.parts, mirror
    )


def have_copy(
    place: Path | Url,
    *,
    maps: Collection[str] | None = (),
    pictures: Collection[str] = (),
    progress: Progress | None = None,
) -> Path:
    """The folder of a store; of a remote one its copy, brought up to date.

    Args:
        place: Of the store.
        maps: Slides whose maps are needed beside the facts of all; None: all of them.
        pictures: Slides whose pictures are needed.
        progress: Told of each map that is fetched.

    Raises:
        StoreError: It cannot be read, or is damaged.
        OutputError: The disk of this machine refuses.
    """
    if not isinstance(place, Url):
        return place
    mirror = Mirror(Objects(place))
    mirror.refresh()
    mirror.fetch(maps, progress)
    mirror.fetch_pictures(pictures)
    return mirror.folder


def fetch_maps(store: Store, slide_ids: Collection[str], progress: Progress | None = None) -> None:
    """Have maps of a store on this machine; nothing happens where they are.

    Raises:
        StoreError: A map cannot be read, or is damaged.
        OutputError: The disk of this machine refuses.
    """
    if isinstance(store, RemoteStore) and store.mirror is not None:
        store.mirror.fetch(slide_ids, progress)
