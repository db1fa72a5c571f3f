"""Which slides this run still has to do, in this store, beside other runs on it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from histonic.core.compressed import EncoderDescription, MapSettings
from histonic.core.errors import MaskError, SlideError, StoreError
from histonic.core.processes.threads import mapped_by_threads
from histonic.core.progress import Progress, say_doing
from histonic.data.maps.facts import MapFacts, read_checked_facts, read_map_facts
from histonic.data.maps.failures import Failure, failure_path, read_failure
from histonic.data.maps.store import Store, map_folder
from histonic.data.tables.slide_lists import SlideRow
from histonic.slides.base import fingerprint_file
from histonic.stages.compress.destination import Destination
from histonic.stages.compress.reading import Failed, mask_hash_of, require_usable_id
from histonic.stages.compress.settings import CompressSettings

State = Literal["absent", "outdated", "done", "other file"]
RUN = "run-"
"""Before the name of the claim that a run holds to its end,"""
SLIDE = "slide-"
"""and of those on slides."""
WAIT_S = 1.0
"""Between two looks at slides that other runs hold, and"""
WAIT_EACH_S = 0.1
"""so much more for each of them,"""
MOST_WAIT_S = 10.0
"""at most: a hundred runs that wait for the last slides shall not keep the disk busy."""
LOOKS_AT_ONCE = 8
"""Looking at what is there is waiting for the disk, of a network most of all."""
GOLDEN = (math.sqrt(5) - 1) / 2


def state_of(
    row: SlideRow,
    settings: CompressSettings,
    read_facts: Callable[[Path], MapFacts] = read_checked_facts,
    just_made: bool = False,
) -> State:
    """Whether the store holds the map of a slide.

    Args:
        row: The slide.
        settings: Of the compression.
        read_facts: Reads the facts of a map and refuses one that is not whole.
        just_made: The map came while this run was at work: it is whole, and if it was made of the file at the
            same absolute path, that is not read again.

    Returns:
        ``done``: made of the same file, mpp and mask, and whole; encoder and settings were compared before.
        ``outdated``: damaged, or made of the same file with another mpp or mask.
        ``other file``: made of a file with other content. ``absent``: there is none.
    """
    folder = map_folder(settings.folder, row.slide_id)
    if not folder.is_dir():
        return "absent"
    try:
        found = (read_map_facts(folder) if just_made else read_facts(folder)).slide
    except StoreError:
        return "outdated"
    if isinstance(row.path, Path) and not row.path.exists():
        return "absent"  # reading it will say so
    # From another folder a relative path leads elsewhere.
    is_known = just_made and Path(found.path).is_absolute() and found.path == str(row.path)
    if not is_known and found.fingerprint != fingerprint_file(row.path):
        return "other file"
    try:
        same_mask = found.mask == mask_hash_of(row, settings)
    except MaskError:
        return "outdated"  # reading it will say what is wrong with the mask
    same_mpp = found.given_mpp == row.mpp and found.default_mpp in (None, settings.mpp)
    return "done" if same_mask and same_mpp else "outdated"


_UNSAID = {"stride_px": "as wide as a tile", "stain": "as it is"}
"""What a setting is that stands in no map."""


def require_same_maker(folder: Path, encoder: EncoderDescription, settings: MapSettings) -> None:
    """Refuse a store whose maps were made by another encoder or with other settings.

    Args:
        folder: The store, which is there.
        encoder: Of this run.
        settings: Of this run, as they stand in maps.

    Raises:
        StoreError: It holds such maps, or is mixed or damaged.
    """
    asked = f"Compress with {encoder.name!r} into {folder}."
    store = Store.open(folder)
    if store.parts:
        raise StoreError(
            asked,
            f"It is a folder of {len(store.parts)} stores: {', '.join(store.parts)}.",
            "Give one of them, or a new folder in it.",
        )
    if not store.slide_ids:
        return
    if store.encoder.fingerprint != encoder.fingerprint:
        raise StoreError(
            asked,
            f"The store holds {len(store.slide_ids)} maps by {store.encoder.name!r}, another encoder "
            "(or another version or precision of it).",
            "Choose another --out, or delete the store.",
        )
    if store.settings != settings:
        made, wanted = store.settings.to_dict(), settings.to_dict()
        differing = [key for key in {**wanted, **made} if made.get(key) != wanted.get(key)]

        def words(values: dict[str, Any]) -> str:
            return ", ".join(f"{key} {values.get(key, _UNSAID.get(key))}" for key in differing)

        raise StoreError(
            asked,
            f"Its {len(store.slide_ids)} maps were made with other settings: {words(made)}.",
            f"Use that instead of {words(wanted)}, choose another --out, or delete the store.",
        )


def other_file(row: SlideRow, store: Path) -> SlideError:
    """The error of a slide whose identifier is that of another file's map."""
    found = read_map_facts(map_folder(store, row.slide_id)).slide
    return SlideError(
        f"Compress {row.path} as {row.slide_id!r}.",
        f"The store holds a map of that name, made of another file ({found.file or 'without a name'}).",
        "Give one of the two another slide_id, choose another --out, or replace the map with --replace.",
    )


class SharedSlides:
    """Hands out slides that no other run on the same store works on, and keeps the others for later.

    Runs that come to a store at which others work begin at other places of the list, as far from each other
    as can be, so that they rarely meet; what is done meanwhile costs each of the others one look at its map.

    Args:
        rows: The slides of this run.
        settings: Of the compression.
        destination: The store.
        apart: Whether to begin far from where others did; not where each was given slides of its own.

    Attributes:
        waiting: Slides that are still to be done.
        skipped: Slides whose maps were there already, or were made by another run meanwhile.
        refused: Slides whose identifier cannot be used, or is that of another file's map.
        elsewhere: Failures that other runs met since this one began.
    """

    def __init__(
        self,
        rows: Sequence[SlideRow],
        settings: CompressSettings,
        destination: Destination,
        apart: bool = True,
    ) -> None:
        self._settings = settings
        self._destination = destination
        self._claims = destination.claims
        self._began = self._claims.now()
        self._told: set[str] = set()
        self._absent: set[str] = set()
        self.waiting: list[SlideRow] = []
        self.skipped: list[SlideRow] = []
        self.refused: list[Failed] = []
        self.elsewhere: list[Failure] = []
        for row, state in zip(rows, mapped_by_threads(self._first_look, rows, LOOKS_AT_ONCE), strict=True):
            if isinstance(state, Failed):
                self.refused.append(state)
            elif state == "done":
                self.skipped.append(row)
            else:
                self.waiting.append(row)
                if state == "absent":
                    self._absent.add(row.slide_id)
        self._counted = len(self.skipped)
        others = sum(other.name.startswith(RUN) for other in self._claims.others()) if apart else 0
        first = int(len(self.waiting) * (others * GOLDEN % 1))
        self.waiting = [*self.waiting[first:], *self.waiting[:first]]

    def _first_look(self, row: SlideRow) -> State | Failed:
        try:
            require_usable_id(row)
            return self._state_of(row)
        except (SlideError, OSError) as error:
            return Failed(row, "open", error)

    def take(self) -> Iterator[SlideRow]:
        """Claim one slide after the other; those that other runs hold go on waiting."""
        waiting, self.waiting = self.waiting, []
        for row in waiting:
            self._destination.glance()
            if self._was_made_meanwhile(row):
                self.skipped.append(row)
                continue
            if not self._claims.take(SLIDE + row.slide_id):
                self.waiting.append(row)
                continue
            try:
                settled = self._is_settled(row)
            except (SlideError, OSError) as error:
                self.refused.append(Failed(row, "open", error))
                settled = True
            if settled:
                self.release(row)
            else:
                yield row

    def _was_made_meanwhile(self, row: SlideRow) -> bool:
        """Whether another run has made the map since this one began; what is in doubt is claimed and seen."""
        try:
            return row.slide_id in self._absent and state_of(row, self._settings, just_made=True) == "done"
        except (SlideError, OSError):
            return False

    def settled_by_others(self) -> int:
        """How many slides other runs have done since this was asked last."""
        settled = len(self.skipped) + len(self.elsewhere)
        new, self._counted = settled - self._counted, settled
        return new

    def release(self, row: SlideRow) -> None:
        """Give a slide back when its map is published, or it failed."""
        self._claims.release(SLIDE + row.slide_id)

    def _state_of(self, row: SlideRow) -> State:
        return state_of(row, self._settings, self._destination.read_facts)

    def _is_settled(self, row: SlideRow) -> bool:
        """Whether nothing is to be done: it is compressed, or refused, or failed in another run."""
        self._destination.look(row.slide_id)
        state = self._state_of(row)
        if state == "done":
            self.skipped.append(row)
        elif state == "other file" and not self._settings.replace:
            self.refused.append(Failed(row, "open", other_file(row, self._settings.folder)))
        else:
            failure = self._failure_elsewhere(row)
            if failure is None:
                return False
            self.elsewhere.append(failure)
        return True

    def _failure_elsewhere(self, row: SlideRow) -> Failure | None:
        """What another run met since this one began."""
        record = failure_path(self._settings.folder, row.slide_id)
        try:
            return read_failure(record) if record.stat().st_mtime > self._began else None
        except (OSError, StoreError):
            return None

    def wait(self, progress: Progress) -> None:
        """Wait a moment for slides that other runs hold, and say once whose they are.

        The listener hears of each turn, since a piece of a cluster that says nothing cannot be cancelled.
        """
        for row in self.waiting[:1]:
            say_doing(progress, f"waiting for {row.slide_id}")
        for row in self.waiting:
            held = self._claims.holder(SLIDE + row.slide_id)
            if held is not None and str(held) not in self._told:
                self._told.add(str(held))
                progress.say(f"waiting for {row.slide_id}, on which {held} works")
        time.sleep(min(WAIT_S + len(self.waiting) * WAIT_EACH_S, MOST_WAIT_S))
