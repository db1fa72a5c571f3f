"""The copy of a remote store on this machine: a store like any other; only what is new is fetched."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from histonic.core.errors import ObjectStoreError, OutputError, StoreError
from histonic.core.files import output_error, replacing_file, write_json, write_text
from histonic.core.objects.objects import Objects
from histonic.core.places.cache import kept_in
from histonic.core.places.urls import Url
from histonic.core.progress import Progress
from histonic.data.maps.failures import names_a_file
from histonic.data.maps.remote.published import (
    AGAIN,
    FAILURES,
    MAPS,
    PICTURE,
    THUMBNAILS,
    VERSION_FILE,
    PublishedMap,
    fetch_map,
    parse_pointer,
    pointer_key,
    read_pointer,
    write_facts,
)
from histonic.data.maps.store import map_folder, thumbnail_path

STATE = ".remote"
"""In the copy: what the remote store said, by object."""
LISTING = "maps.json"
"""Names of the maps, for servers that list nothing."""
ENGINE_FILE = "engine.json"
"""In a store: the engine that its first run chose, so that others go on with it."""
ENCODER = "encoder.safetensors"
"""Every run of 'histonic compress' writes it before its first map, so that by it a store is known."""
BESIDE = (ENCODER, "heads.safetensors", "settings.yaml", ENGINE_FILE, "tissue.csv")
"""What lies beside the maps."""
MAPS_AT_A_TIME = 4
CHANGES = 3
"""So often a map may be replaced while it is read."""


def copy_folder(url: Url) -> Path:
    """Where the copy of a remote store lies on this machine, whether it is there or not.

    Raises:
        OutputError: The user has no home folder, and HISTONIC_CACHE is not set.

    Example:
        >>> copy_folder(Url("s3://bucket/lung/store")) == copy_folder(Url("s3://bucket/lung/store/"))
        True
        >>> copy_folder(Url("s3://bucket/lung/store")) == copy_folder(Url("s3://bucket/liver/store"))
        False
    """
    shown = str(url).rstrip("/")
    name = re.sub(r"[^\w.-]+", "_", shown.rpartition("/")[2])[:60].lstrip(".") or "store"
    try:
        above = kept_in("stores")
    except RuntimeError as error:
        raise OutputError(
            f"Find a folder for the copy of {shown}.",
            "The home folder of the user is not known.",
            "Name a folder in the environment variable HISTONIC_CACHE.",
        ) from error
    return above / f"{name}-{hashlib.sha256(shown.encode()).hexdigest()[:12]}"


def local_folder(place: Path | Url) -> Path:
    """The folder of a store: itself, or where its copy lies; nothing is read."""
    return copy_folder(place) if isinstance(place, Url) else place


class Mirror:
    """A remote store and its copy; threads, and processes with one copy, may share it.

    Args:
        objects: The store.
        folder: Where the copy lies; made if absent.

    Attributes:
        objects: The store.
        folder: The copy.
        maps: What is there, by slide, since it was last looked at.

    Raises:
        OutputError: The copy cannot be written.
    """

    def __init__(self, objects: Objects, folder: Path | None = None) -> None:
        self.objects = objects
        self.folder = copy_folder(objects.url) if folder is None else folder
        self.maps: dict[str, PublishedMap] = {}
        self._state = self.folder / STATE
        self._lock = threading.RLock()
        try:
            for made in (self.folder, self._state / MAPS, self._state / FAILURES):
                made.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            said = output_error(self.folder, error)
            if folder is None:
                said.todo += " The environment variable HISTONIC_CACHE names where copies of stores lie."
            raise said from error

    def refresh(self, *, beside: bool = True) -> None:
        """Look at what is there: new facts of maps and failures are fetched, what is gone is removed.

        Args:
            beside: Fetch encoder, settings and tables, too.

        Raises:
            StoreError: It cannot be read, or is damaged.
            OutputError: The disk of this machine refuses.
        """
        with self._lock:
            if self.objects.can_list:
                self._refresh_listed()
            else:
                self._refresh_unlisted()
            if beside:
                self._refresh_beside()

    def _refresh_listed(self) -> None:
        tags = {
            each.key.removeprefix(MAPS).removesuffix(".json"): each.tag
            for each in self.objects.listed(MAPS)
            if each.key.endswith(".json")
        }
        found = self.objects.together(lambda name: self._map(name, tags[name]), _usable(tags))
        self._take(each for each in found if each is not None)
        self._refresh_failures()

    def refresh_beside(self) -> None:
        """Fetch what lies beside the maps, and records of failures.

        Raises:
            StoreError: It cannot be read.
            OutputError: The disk of this machine refuses.
        """
        self._refresh_failures()
        self._refresh_beside()

    def _refresh_unlisted(self) -> None:
        found = self.objects.find(LISTING)
        if found is None:
            raise StoreError(
                f"Open the store {self.objects}.",
                f"It holds no {LISTING}, by which a web server's maps are known.",
                "Give the folder that 'histonic compress --out s3://...' has written, or read it by s3://.",
            )
        try:
            names = [str(name) for name in json.loads(found.data)["maps"]]
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"Open the store {self.objects}.", f"{LISTING} is damaged.", AGAIN) from error
        read = self.objects.together(lambda name: read_pointer(self.objects, name), _usable(names))
        self._take(each[0] for each in read if each is not None)

    def _map(self, slide_id: str, tag: str) -> PublishedMap | None:
        """What a map's object says, from the copy if its tag is the same."""
        kept = self._state / MAPS / f"{slide_id}.json"
        with suppress(OSError, ValueError, KeyError, StoreError):
            told = json.loads(kept.read_bytes())
            if told["tag"] == tag:
                return parse_pointer(told["said"].encode(), str(kept))
        found = self.objects.find(pointer_key(slide_id))
        if found is None:
            return None
        published = parse_pointer(found.data, f"{self.objects}/{pointer_key(slide_id)}")
        write_json(kept, {"tag": found.tag, "said": found.data.decode()})
        return published

    def _take(self, found: Iterable[PublishedMap]) -> None:
        self.maps = {each.slide_id: each for each in found}
        for each in self.maps.values():
            self._show(each)
        for folder in self.folder.glob("[!.]*.zarr"):  # others may be at work on what begins with a point
            if folder.name.removesuffix(".zarr") not in self.maps:
                self._drop(folder.name.removesuffix(".zarr"))

    def _drop(self, slide_id: str) -> None:
        """Remove a map that is gone, what its object said, and its picture."""
        (self._state / MAPS / f"{slide_id}.json").unlink(missing_ok=True)
        thumbnail_path(self.folder, slide_id).unlink(missing_ok=True)
        shutil.rmtree(map_folder(self.folder, slide_id), ignore_errors=True)

    def _show(self, published: PublishedMap) -> None:
        """Let the copy hold the facts of this version, and its files if they were fetched."""
        folder = map_folder(self.folder, published.slide_id)
        known = folder / VERSION_FILE
        if _text_of(known).removesuffix(FACTS_ONLY) != published.version:
            write_facts(published, folder)
            thumbnail_path(self.folder, published.slide_id).unlink(missing_ok=True)  # of another version
            write_text(known, published.version + FACTS_ONLY)

    def adopt(self, published: PublishedMap) -> None:
        """Take note of a map that was just published."""
        with self._lock:
            self.maps[published.slide_id] = published
            self._show(published)

    def look(self, slide_id: str) -> PublishedMap | None:
        """Look at one map alone.

        Raises:
            StoreError: It cannot be read, or is damaged.
        """
        with self._lock:
            read = read_pointer(self.objects, slide_id)
            if read is None:
                self.maps.pop(slide_id, None)
                if names_a_file(slide_id):
                    self._drop(slide_id)
                return None
            self.maps[slide_id] = read[0]
            self._show(read[0])
            return read[0]

    def fetch(self, slide_ids: Collection[str] | None = None, progress: Progress | None = None) -> None:
        """Fetch the files of maps that the copy has not yet.

        Args:
            slide_ids: Of these, as far as they are there; None for all.
            progress: Told of each.

        Raises:
            StoreError: A map cannot be read, or is damaged.
            OutputError: The disk of this machine refuses.
        """
        wanted = [name for name in self.maps if slide_ids is None or name in slide_ids]
        missing = [name for name in wanted if not self.has(name)]
        if progress is not None and missing:
            progress.stage(f"fetch maps from {self.objects}", len(missing))
        for start in range(0, len(missing), MAPS_AT_A_TIME):
            part = missing[start : start + MAPS_AT_A_TIME]
            self.objects.together(self._fetch, part)
            if progress is not None:
                progress.advance(len(part), part[-1])

    def has(self, slide_id: str) -> bool:
        """Whether the copy holds the files of a map, and not its facts alone."""
        published = self.maps.get(slide_id)
        return published is not None and (
            _text_of(map_folder(self.folder, slide_id) / VERSION_FILE) == published.version
        )

    def _fetch(self, slide_id: str) -> None:
        for left in reversed(range(CHANGES)):
            published = self.maps[slide_id]
            try:
                picture = fetch_map(self.objects, published, map_folder(self.folder, slide_id))
                break
            except ObjectStoreError:
                raise
            except StoreError:
                now = self.look(slide_id)
                if now is None or now.version == published.version or not left:
                    raise
        if picture is not None:
            self._picture(slide_id, picture)

    def fetch_pictures(self, slide_ids: Iterable[str]) -> None:
        """Fetch the pictures of slides that the copy has not yet.

        Raises:
            StoreError: They cannot be read.
        """
        missing = [name for name in slide_ids if not thumbnail_path(self.folder, name).is_file()]

        def fetch(name: str) -> None:
            published = self.maps.get(name)
            if published is None or PICTURE in published.files:
                key = f"{THUMBNAILS}{name}.jpg" if published is None else published.prefix() + PICTURE
                found = self.objects.find(key)
                if found is not None:
                    self._picture(name, found.data)

        self.objects.together(fetch, missing)

    def _picture(self, slide_id: str, data: bytes) -> None:
        with replacing_file(thumbnail_path(self.folder, slide_id)) as partial:
            partial.write_bytes(data)

    def _refresh_failures(self) -> None:
        listed = {each.key.removeprefix(FAILURES): each for each in self.objects.listed(FAILURES)}
        folder = self.folder / FAILURES

        def have(name: str) -> None:
            kept = self._state / FAILURES / name
            if _text_of(kept) != listed[name].tag or not (folder / name).is_file():
                found = self.objects.find(FAILURES + name)
                if found is not None:
                    _write(folder / name, found.data)
                    write_text(kept, listed[name].tag)
                    # By the server's clock, as claims are judged.
                    os.utime(folder / name, (listed[name].modified, listed[name].modified))

        names = [name for name in listed if name.endswith(".json") and names_a_file(name)]
        self.objects.together(have, names)
        for path in folder.glob("*.json"):
            if path.name not in listed:
                path.unlink(missing_ok=True)

    def _refresh_beside(self) -> None:
        tags = (
            {each.key: each.tag for each in self.objects.listed(deep=False)}
            if self.objects.can_list
            else None
        )
        for name in BESIDE:
            kept, here = self._state / f"{name}.tag", self.folder / name
            tag = None if tags is None else tags.get(name)
            if tags is not None and tag is None:
                here.unlink(missing_ok=True)
            elif tag is None or _text_of(kept) != tag or not here.is_file():
                found = self.objects.find(name)
                if found is None:
                    here.unlink(missing_ok=True)  # heads of an earlier encoder, say
                else:
                    _write(here, found.data)
                    write_text(kept, found.tag)


FACTS_ONLY = " facts"
"""Behind the version of a map whose other files were not fetched."""


def _usable(names: Iterable[str]) -> list[str]:
    """Names that can be those of files here, whoever wrote into the store."""
    return [name for name in names if names_a_file(name)]


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _write(path: Path, data: bytes) -> None:
    with replacing_file(path) as partial:
        partial.write_bytes(data)
