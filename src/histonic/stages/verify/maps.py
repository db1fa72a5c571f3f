"""What is wrong with a map, by its checksums or by every byte of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from histonic.core.errors import HistonicError
from histonic.core.places.urls import Url
from histonic.data.maps.facts import MapFacts, read_checked_facts, read_map_facts
from histonic.data.maps.integrity import content_hash
from histonic.data.maps.store import MAP_SUFFIX, read_map

BAND_ROWS = 64
AGAIN = "Run the same 'histonic compress' command again."


@dataclass(frozen=True)
class Fault:
    """One thing that is not as it was written.

    Attributes:
        path: Where it lies.
        found: What is wrong.
        todo: What the user can do.
        can_be_made_anew: Whether the command that wrote it makes it again once it is removed.
        was_removed: Whether it was.
    """

    path: Path | Url
    found: str
    todo: str
    can_be_made_anew: bool = False
    was_removed: bool = False


@dataclass
class Makers:
    """Who made the maps of a store, which must be one encoder by one set of settings.

    Attributes:
        first: Facts of a map that is as it was written; None while there is none.
        made: Encoders and settings of all of them.
    """

    first: MapFacts | None = None
    made: set[tuple[str, str]] = field(default_factory=set)

    def add(self, facts: MapFacts) -> None:
        """One more map; of ten thousand no more is kept than of one."""
        self.first = self.first or facts
        self.made.add((facts.encoder.fingerprint, facts.settings.model_dump_json()))


def facts_if_whole(path: Path, quick: bool) -> MapFacts | str:
    """The facts of a map that is as it was written, else what is wrong with it.

    Args:
        path: Its folder.
        quick: Do not read every byte.
    """
    try:
        facts = read_checked_facts(path) if quick else read_map_facts(path)
        if facts.slide_id != path.name.removesuffix(MAP_SUFFIX):
            return f"It is the map of the slide {facts.slide_id!r}."
        if quick:
            return facts
        slide = read_map(path)
        if content_hash(path) != facts.content:
            return "Its bytes are not those that were written (their hash differs)."
        for top in range(0, slide.mask.shape[0], BAND_ROWS):
            if not np.isfinite(np.asarray(slide.features[:, top : top + BAND_ROWS])).all():
                return "It holds codes that are NaN or infinite."
    except HistonicError as error:
        return error.found
    except OSError as error:
        return f"It cannot be read: {error}."
    return facts
