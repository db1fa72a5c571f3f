"""A map in an object store: its files first, then the one object by which it is there.

What lies below the URL of a store:

```
maps/SLIDE.json            the map is there if and only if this is: facts, and names and hashes of all files
data/SLIDE/VERSION/...     the files of one version, a Zarr group like any other; written once, never changed
failures/ thumbnails/      slides that could not be compressed
claims/                    who works on what
maps.json                  names of the maps, for servers that list nothing (http); remade at the end of a run
encoder.safetensors, settings.yaml, tissue.csv ...   as in a folder
```

Every writer has a version of its own, so that two never meet in one file, a late answer changes nothing, and
what a killed one leaves is named by no map.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from histonic.core.documents import SealedDocument, is_changed, parse_document
from histonic.core.errors import ObjectStoreError, OutputError, StoreError
from histonic.core.files import replacing_folder
from histonic.core.objects.objects import Objects
from histonic.core.processes.owners import Owner
from histonic.data.maps.facts import MapFacts, read_map_facts
from histonic.data.maps.integrity import FACTS_FILE

MAPS, DATA, FAILURES, THUMBNAILS = "maps/", "data/", "failures/", "thumbnails/"
PICTURE = "thumbnail.jpg"
"""The slide's picture, among the files of a version."""
VERSION_FILE = ".version"
"""In the copy of a map: which version its files are."""
_FILE = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*")
"""Names of files in a map; nothing that leads out of its folder."""
_OF_VERSION = re.compile(rf"({DATA}[^/]+/v-[0-9a-f]{{8}}-\d+-\d+-[0-9a-f]{{8}}/).+", re.DOTALL)
"""Keys that :func:`publish_map` makes, and their prefix; what else lies there is somebody else's."""
ROUNDS = 5
AGAIN = (
    "Run it again; if it stays, remove that map with 'histonic verify URL --repair' and compress it again."
)


class PublishedMap(SealedDocument):
    """``maps/SLIDE.json``: that a map is there, and of which files it is made.

    Attributes:
        slide_id: Name of the slide.
        version: Folder of its files, below ``data/SLIDE/``.
        files: Bytes and SHA-256 of each, by its name in the map.
        facts: The attributes of the map, sealed themselves.
    """

    FORMAT = "histonic-published-map-1"

    slide_id: str
    version: str
    files: Mapping[str, tuple[int, str]]
    facts: dict[str, Any]

    def prefix(self) -> str:
        """Where its files lie."""
        return version_prefix(self.slide_id, self.version)

    def read_facts(self) -> MapFacts:
        """The facts of the map.

        Raises:
            StoreError: They are damaged, or of another version of histonic.
        """
        return parse_document(MapFacts, self.facts, pointer_key(self.slide_id), StoreError, AGAIN)


def pointer_key(slide_id: str) -> str:
    """The object by which a map is there."""
    return f"{MAPS}{slide_id}.json"


def version_prefix(slide_id: str, version: str) -> str:
    """Where the files of a version lie."""
    return f"{DATA}{slide_id}/{version}/"


def parse_pointer(data: bytes, source: str) -> PublishedMap:
    """What ``maps/SLIDE.json`` says.

    Raises:
        StoreError: It is damaged.
    """
    asked = f"Read {source}."
    try:
        values = json.loads(data)
    except ValueError as error:
        raise StoreError(asked, f"It is no JSON: {error}.", AGAIN) from error
    if is_changed(values):
        raise StoreError(asked, "It is not what was written (its hash differs).", AGAIN)
    return parse_document(PublishedMap, values, source, StoreError, AGAIN)


def read_pointer(objects: Objects, slide_id: str) -> tuple[PublishedMap, str] | None:
    """The map that is there, and the tag of its object; None if there is none.

    Raises:
        StoreError: It cannot be read, or is damaged.
    """
    found = objects.find(pointer_key(slide_id))
    if found is None:
        return None
    return parse_pointer(found.data, f"{objects}/{pointer_key(slide_id)}"), found.tag


def first_facts(objects: Objects) -> MapFacts | None:
    """The facts of one map of a store, by which the others were made, too; None if there is none.

    Raises:
        StoreError: It cannot be read, or is damaged.
    """
    for each in objects.listed(MAPS)[:1]:
        read = read_pointer(objects, each.key.removeprefix(MAPS).removesuffix(".json"))
        return None if read is None else read[0].read_facts()
    return None


def publish_map(objects: Objects, folder: Path, picture: bytes | None = None) -> PublishedMap:
    """Write a finished map into an object store: all its files, then at once that it is there.

    If another writer published the same map meanwhile (of the same slide, made the same way), that one stays
    and this copy is removed; any other map of that name is replaced.

    Args:
        objects: The store.
        folder: The map on this machine.
        picture: Of the slide, as JPEG.

    Returns:
        The map that is there now.

    Raises:
        OutputError: It cannot be written.
        StoreError: The map is damaged.
    """
    facts = read_map_facts(folder)
    slide_id, version = facts.slide_id, f"v-{Owner.this().token()}"
    prefix = version_prefix(slide_id, version)
    files = {path.relative_to(folder).as_posix(): path for path in _files(folder)}

    names = [*sorted(files), *([PICTURE] if picture is not None else [])]

    def send(name: str) -> tuple[str, tuple[int, str]]:
        data = picture if name == PICTURE and picture is not None else files[name].read_bytes()
        objects.put(prefix + name, data)
        return name, (len(data), hashlib.sha256(data).hexdigest())

    sent: dict[str, tuple[int, str]] = dict(objects.together(send, names))
    attributes = json.loads((folder / FACTS_FILE).read_bytes())["attributes"]
    mine = PublishedMap(
        slide_id=slide_id, version=version, files=dict(sorted(sent.items())), facts=attributes
    )
    said = json.dumps(mine.to_dict(), sort_keys=True, ensure_ascii=False).encode()
    for _ in range(ROUNDS):
        found = objects.find(pointer_key(slide_id))
        other = None if found is None else _parsed(found.data)
        if other is not None and other.version == version:
            return mine
        if other is not None and _is_same(other, facts):
            objects.delete(*(prefix + name for name in sent))
            return other
        if not objects.has_conditions:
            objects.put(pointer_key(slide_id), said)
        elif found is None:
            if objects.create(pointer_key(slide_id), said) is None:
                continue
        elif objects.exchange(pointer_key(slide_id), said, found.tag) is None:
            continue
        if other is not None:
            objects.delete(*(other.prefix() + name for name in other.files))
        return mine
    raise OutputError(
        f"Publish the map of {slide_id!r} in {objects}.",
        f"Other writers replaced it {ROUNDS} times meanwhile.",
        "Let one command at a time work on that slide, and run it again.",
    )


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != VERSION_FILE]


def _parsed(data: bytes) -> PublishedMap | None:
    try:
        return parse_pointer(data, "")
    except StoreError:
        return None


def _is_same(other: PublishedMap, mine: MapFacts) -> bool:
    try:
        return other.read_facts().made_from() == mine.made_from()
    except StoreError:
        return False


def facts_bytes(published: PublishedMap) -> bytes:
    """``zarr.json`` of a map, as Zarr wrote it."""
    return json.dumps(
        {"attributes": published.facts, "zarr_format": 3, "node_type": "group"}, indent=2
    ).encode()


def write_facts(published: PublishedMap, folder: Path) -> None:
    """Make the copy of a map that holds its facts alone; what lay there is replaced.

    Raises:
        OutputError: The disk refuses.
    """
    with replacing_folder(folder) as partial:
        (partial / FACTS_FILE).write_bytes(facts_bytes(published))


def fetch_map(objects: Objects, published: PublishedMap, folder: Path) -> bytes | None:
    """Make the copy of a map, every file compared with its hash.

    Args:
        objects: The store.
        published: The map.
        folder: Where the copy will lie, whole or not at all.

    Returns:
        The picture of the slide, if there is one.

    Raises:
        StoreError: A file is gone (the map may have been replaced), or is not as it was written.
        OutputError: The disk refuses.
    """
    asked = f"Read the map of {published.slide_id!r} from {objects}."
    strange = [name for name in published.files if not _FILE.fullmatch(name)]
    if strange:
        raise StoreError(asked, f"No file of a map is called {strange[0]!r}.", AGAIN)

    def get(name: str) -> tuple[str, bytes]:
        found = objects.find(published.prefix() + name)
        if found is None:
            raise StoreError(asked, f"Its file {name} is not there.", AGAIN)
        if (len(found.data), hashlib.sha256(found.data).hexdigest()) != tuple(published.files[name]):
            raise StoreError(asked, f"Its file {name} is not what was written (its hash differs).", AGAIN)
        return name, found.data

    got: dict[str, bytes] = dict(objects.together(get, published.files))
    picture = got.pop(PICTURE, None)
    with replacing_folder(folder) as partial:
        for name, data in got.items():
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (partial / VERSION_FILE).write_text(published.version, encoding="utf-8")
    return picture


def leftovers(objects: Objects, older_than_s: float) -> list[str]:
    """Files of versions that no map names, silent for some time: what killed or late writers left.

    Raises:
        StoreError: The store cannot be listed or read.
    """
    found = [(_OF_VERSION.fullmatch(each.key), each) for each in objects.listed(DATA)]
    listed = [(match[1], each) for match, each in found if match is not None]
    # The maps are read after the list was made: a version published meanwhile is then named.
    names = sorted({prefix.split("/")[1] for prefix, _ in listed})

    def prefix_of(name: str) -> str | None:
        try:
            read = read_pointer(objects, name)
        except ObjectStoreError:
            raise
        except StoreError:
            return f"{DATA}{name}/"  # it may be any of its versions
        return None if read is None else read[0].prefix()

    used = tuple(filter(None, objects.together(prefix_of, names)))
    newest: dict[str, float] = {}
    for prefix, each in listed:
        newest[prefix] = max(newest.get(prefix, 0.0), each.modified)
    late = objects.now() - older_than_s
    dropped = {prefix for prefix, at in newest.items() if not prefix.startswith(used) and at < late}
    return [each.key for prefix, each in listed if prefix in dropped]
