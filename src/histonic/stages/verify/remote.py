"""Maps in an object store: each fetched anew, compared byte by byte, and not kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from histonic.core.errors import ObjectStoreError, StoreError
from histonic.core.files import PARTIAL_LASTS_S, remove
from histonic.core.objects.objects import Objects
from histonic.core.objects.systems import Found
from histonic.core.places.urls import Url
from histonic.core.progress import Progress
from histonic.data.maps.facts import MapFacts
from histonic.data.maps.failures import names_a_file
from histonic.data.maps.remote.mirror import CHANGES, ENCODER, Mirror
from histonic.data.maps.remote.published import (
    MAPS,
    fetch_map,
    leftovers,
    parse_pointer,
    pointer_key,
    version_prefix,
)
from histonic.data.maps.store import map_folder
from histonic.stages.verify.maps import AGAIN, Fault, Makers, facts_if_whole
from histonic.stages.verify.settings import VerifySettings


def look_at_maps(
    mirror: Mirror, makers: Makers, settings: VerifySettings, progress: Progress
) -> Iterator[Fault | None]:
    """Every map of a remote store, one at a time, and what writers that ended have left.

    Args:
        mirror: Of the store, in a folder that is empty; holds what lies beside the maps afterwards.
        makers: Is told of the maps that are as they were written.
        settings: Whether every byte is read, and whether damaged maps, and what was left and is a day old,
            are removed.
        progress: Is told of what was left.

    Yields:
        One item a map: None where it is as written.

    Raises:
        StoreError: It is no store, or cannot be reached.
        OutputError: Nothing can be removed there.
    """
    if mirror.objects.can_list:
        names = _names(mirror.objects)
    else:
        mirror.refresh(beside=False)
        names = sorted(mirror.maps)
    for name in names:
        found = _look(mirror, name, settings.quick)
        if isinstance(found, MapFacts):
            makers.add(found)
            yield None
        elif found is not None:
            yield Fault(
                Url(f"{mirror.objects}/{pointer_key(name)}"),
                found.why,
                AGAIN,
                can_be_made_anew=True,
                was_removed=settings.repair and _remove(mirror.objects, name, found),
            )
        if map_folder(mirror.folder, name).is_dir():
            remove(map_folder(mirror.folder, name))
    if mirror.objects.can_list:
        _tell_left(mirror, settings.repair, progress)
        mirror.refresh_beside()


def _names(objects: Objects) -> list[str]:
    """Names of the maps of what is a store: of anything else nothing is judged, let alone removed."""
    if not any(each.key == ENCODER for each in objects.listed(ENCODER)):
        raise StoreError(
            f"Verify {objects}.",
            f"It is no store: it holds no {ENCODER}.",
            "Give the URL that 'histonic compress --out' was given; of a store that lost that object the "
            "same 'histonic compress' command writes it anew.",
        )
    keys = [each.key for each in objects.listed(MAPS) if each.key.endswith(".json")]
    names = [key.removeprefix(MAPS).removesuffix(".json") for key in keys]
    return [name for name in names if names_a_file(name)]


@dataclass(frozen=True)
class _Damaged:
    """What is wrong with a map, what its object said then, and the version that it named."""

    why: str
    said: Found
    version: str = ""


def _look(mirror: Mirror, name: str, quick: bool) -> MapFacts | _Damaged | None:
    """Facts of a map that is as it was written; None if it was removed since it was listed."""
    damaged: _Damaged | None = None
    for _ in range(CHANGES):
        said = mirror.objects.find(pointer_key(name))
        if said is None:
            return None
        if damaged is not None and said == damaged.said:
            return damaged
        found = _facts(mirror, name, said, quick)
        if isinstance(found, MapFacts):
            return found
        damaged = found  # or it was replaced meanwhile
    return damaged


def _facts(mirror: Mirror, name: str, said: Found, quick: bool) -> MapFacts | _Damaged:
    folder, version = map_folder(mirror.folder, name), ""
    try:
        published = parse_pointer(said.data, pointer_key(name))
        version = published.version
        if published.slide_id != name:
            return _Damaged(f"It is the map of the slide {published.slide_id!r}.", said)
        if quick and mirror.objects.can_list:
            listed = mirror.objects.listed(published.prefix())
            sizes = {each.key.removeprefix(published.prefix()): each.size for each in listed}
            wrong = [each for each, (size, _) in published.files.items() if sizes.get(each) != size]
            why = f"Its file {wrong[0]} is absent or cut off." if wrong else ""
            return _Damaged(why, said, version) if wrong else published.read_facts()
        fetch_map(mirror.objects, published, folder)
    except ObjectStoreError:
        raise  # says nothing of the map, which must not be removed for it
    except StoreError as error:
        return _Damaged(error.found, said, version)
    found = facts_if_whole(folder, quick)
    return found if isinstance(found, MapFacts) else _Damaged(found, said, version)


def _remove(objects: Objects, name: str, damaged: _Damaged) -> bool:
    """First that the map is there, if it is still the one that was judged, then the files of its version.

    Other versions may be those of writers at work.
    """
    if objects.find(pointer_key(name)) != damaged.said:
        return False
    objects.delete(pointer_key(name))
    if damaged.version:
        objects.delete(*(each.key for each in objects.listed(version_prefix(name, damaged.version))))
    return True


def _tell_left(mirror: Mirror, repair: bool, progress: Progress) -> None:
    left = leftovers(mirror.objects, PARTIAL_LASTS_S)
    if left and repair:
        mirror.objects.delete(*left)
    if left:
        done = "they were removed" if repair else "--repair removes them"
        progress.say(f"{len(left)} files were left by writers that ended, and belong to no map: {done}")
