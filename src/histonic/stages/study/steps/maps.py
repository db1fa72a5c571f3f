"""The store of a study: which slides of its list have a map, and what has to go before others are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from histonic.core.errors import SettingsError, SlideError, StoreError
from histonic.core.files import PARTIAL_PREFIX, output_error, set_aside
from histonic.data.maps.facts import MapFacts, read_checked_facts
from histonic.data.maps.failures import failure_path
from histonic.data.maps.store import MAP_SUFFIX, map_folder, thumbnail_path
from histonic.data.tables.slide_lists import SlideRow
from histonic.encoders.base import describe
from histonic.stages.compress.compress import rows_of, settled
from histonic.stages.compress.plan import map_settings_of
from histonic.stages.compress.reading import require_usable_id
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.compress.sharing import state_of
from histonic.stages.study.steps.records import StepRecord

BESIDE_MAPS = ("reader", "private")
"""Settings on which maps depend, though no map says so."""
MOST_NAMED = 3
WORDS = {
    "absent": "its file is no longer there",
    "outdated": "damaged, or made with another resolution or mask",
    "other file": "the file has other content now",
}


@dataclass(frozen=True)
class MapsFound:
    """What a store holds of a list of slides.

    Attributes:
        settings: Of the compression, with precision and stride as they will be.
        rows: The slides, sorted by name.
        ready: Names of those whose map is whole, and made of the same file, resolution and mask.
        waiting: Those that have no such map.
        wrong: Maps that must not stay, by slide, with the reason.
        unlisted: Names of maps of slides that the list does not have.
        maker: Why all maps have to be made anew; empty if they need not.
        failed: Names of those that wait and have failed before.
    """

    settings: CompressSettings
    rows: tuple[SlideRow, ...]
    ready: tuple[str, ...] = ()
    waiting: tuple[SlideRow, ...] = ()
    wrong: dict[str, str] = field(default_factory=dict)
    unlisted: tuple[str, ...] = ()
    maker: str = ""
    failed: tuple[str, ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether nothing is to be compressed, and nothing has to go."""
        return not (self.waiting or self.wrong or self.unlisted or self.maker)

    def reasons(self) -> list[str]:
        """Why there is something to do, in words."""
        found = [self.maker] if self.maker else []
        changed = len(self.wrong)
        new = len(self.waiting) - len(self.failed) - sum(row.slide_id in self.wrong for row in self.waiting)
        if not self.maker:
            found += [f"{new} slides have no map"] if new else []
            found += [f"{changed} maps no longer fit ({next(iter(self.wrong.values()))})"] if changed else []
        found += [f"{len(self.unlisted)} maps are of slides that are not listed"] if self.unlisted else []
        found += [f"{len(self.failed)} slides failed before"] if self.failed else []
        return found


def find_maps(settings: CompressSettings, record: StepRecord | None) -> MapsFound:
    """Compare a store with the slides and settings of a compression; nothing is changed.

    Args:
        settings: Of the compression.
        record: Of the compression before; None if there was none.

    Raises:
        SettingsError: A setting is wrong, not one of the slides is where it should be, or some that have a
            map cannot be reached.
        TableError: A table of slides is wrong.
        EncoderError: The encoder cannot be loaded.
    """
    rows = tuple(rows_of(settings))
    _require_some(settings, rows)
    facts, damaged = _facts_of(settings.folder)
    first = next(iter(facts.values()), None)
    if first is not None and settings.precision == "auto":
        # As a compression does: a store goes on with its own.
        settings = settings.model_copy(update={"precision": first.settings.precision})
    resolved, encoder = settled(settings)
    maker = "" if first is None else _other_maker(first, describe(encoder).fingerprint, resolved, record)
    failed = tuple(row.slide_id for row in rows if failure_path(settings.folder, row.slide_id).is_file())
    if maker:
        return MapsFound(resolved, rows, waiting=rows, maker=maker)
    ready, waiting, wrong = [], [], {}
    unreached: list[str] = []
    for row in rows:
        try:
            state = "outdated" if row.slide_id in damaged else _state(row, resolved)
        except (SlideError, OSError) as error:
            if row.slide_id in facts:
                unreached.append(f"{row.slide_id} ({getattr(error, 'found', None) or error})")
            state = "absent"  # compressing it will say what is wrong
        if state == "done":
            ready.append(row.slide_id)
            continue
        waiting.append(row)
        if row.slide_id in facts or row.slide_id in damaged:
            wrong[row.slide_id] = WORDS[state]
    if unreached:
        more = f" and {len(unreached) - MOST_NAMED} more" if len(unreached) > MOST_NAMED else ""
        raise SettingsError(
            f"Compare the maps in {resolved.out} with their slides.",
            f"{len(unreached)} slides that have a map cannot be read now: "
            f"{', '.join(unreached[:MOST_NAMED])}{more}.",
            "Check network, server and permissions, or take them off the list; their maps are kept.",
        )
    listed = {row.slide_id for row in rows}
    unlisted = tuple(sorted({*facts, *damaged} - listed))
    waits = {row.slide_id for row in waiting} - set(wrong)
    failed = tuple(name for name in failed if name in waits)
    return MapsFound(resolved, rows, tuple(ready), tuple(waiting), wrong, unlisted, "", failed)


def clear_maps(found: MapsFound, keep: Path) -> None:
    """Take away what must not be mixed with the maps that are made next.

    Args:
        found: From :func:`find_maps`.
        keep: Folder to which maps are moved that others may still want: all of them if the encoder or a
            setting is another one, else those of slides that are no longer listed.

    Raises:
        OutputError: A map cannot be moved.
    """
    store = found.settings.folder
    if found.maker:
        keep_aside(store, keep)
        return
    for name, reason in found.wrong.items():
        if reason == WORDS["absent"]:
            keep_aside(map_folder(store, name), keep / "maps")
        set_aside(map_folder(store, name))
        thumbnail_path(store, name).unlink(missing_ok=True)
    for name in found.unlisted:
        keep_aside(map_folder(store, name), keep / "maps")
        thumbnail_path(store, name).unlink(missing_ok=True)
    listed = {failure_path(store, row.slide_id) for row in found.rows}
    for path in (store / "failures").glob("*.json"):
        if path not in listed:
            path.unlink(missing_ok=True)


def keep_aside(path: Path, folder: Path) -> Path | None:
    """Move a result into a folder under the first free name; where it is now, None if it was not there."""
    if not path.exists():
        return None
    number = 1
    while (place := folder / f"{path.stem}-{number}{path.suffix}").exists():
        number += 1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    except OSError as error:
        raise output_error(place, error) from error
    return place


def _require_some(settings: CompressSettings, rows: Sequence[SlideRow]) -> None:
    """Refuse to take every map away because a disk is not there."""
    local = [row.path for row in rows if isinstance(row.path, Path)]
    if local and len(local) == len(rows) and not any(path.exists() for path in local):
        raise SettingsError(
            f"Compress the slides {', '.join(map(str, settings.slides))}.",
            f"Not one of the {len(rows)} files is there, such as {local[0]}.",
            "Check that their disk is there; maps that were made are kept.",
        )


def _facts_of(store: Path) -> tuple[dict[str, MapFacts], set[str]]:
    """The facts of the maps of a store, and the names of those that are damaged."""
    facts: dict[str, MapFacts] = {}
    damaged: set[str] = set()
    for path in sorted(store.glob(f"*{MAP_SUFFIX}")) if store.is_dir() else ():
        name = path.name.removesuffix(MAP_SUFFIX)
        if name.startswith(PARTIAL_PREFIX):
            continue
        try:
            facts[name] = read_checked_facts(path)
        except StoreError:
            damaged.add(name)
    return facts, damaged


def _state(row: SlideRow, settings: CompressSettings) -> str:
    """How a map stands to its slide.

    Raises:
        SlideError: The slide cannot be asked now, which does not say that it is gone.
        OSError: Likewise.
    """
    require_usable_id(row)
    return state_of(row, settings)


def _other_maker(
    first: MapFacts, fingerprint: str, settings: CompressSettings, record: StepRecord | None
) -> str:
    """In words what made the maps of a store and would not be used now; empty if there is nothing."""
    if first.encoder.fingerprint != fingerprint:
        return f"the maps are of the encoder {first.encoder.name!r}, or of another version or precision of it"
    was, now = first.settings.to_dict(), map_settings_of(settings).to_dict()
    differing: dict[str, tuple[Any, Any]] = {
        key: (was.get(key), now.get(key)) for key in {**was, **now} if was.get(key) != now.get(key)
    }
    if record is not None:
        before, after = record.settings, settings.model_dump(mode="json")
        differing |= {
            key: (before[key], after[key])
            for key in BESIDE_MAPS
            if key in before and before[key] != after[key]
        }
    return ", ".join(f"{key} was {old!r}, is {new!r}" for key, (old, new) in differing.items())
