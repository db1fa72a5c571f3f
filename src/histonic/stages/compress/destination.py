"""Where maps go: a folder, or an object store by way of a folder of this run's own."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from histonic.core.claims import Claims
from histonic.core.files import clear_partials, output_error, partial_path, require_writable_folder
from histonic.core.objects.claims import Claiming, ObjectClaims
from histonic.core.objects.objects import Objects
from histonic.core.places.urls import Url
from histonic.core.processes.owners import Owner
from histonic.core.progress import Progress, warn
from histonic.data.maps.facts import MapFacts, read_checked_facts, read_map_facts
from histonic.data.maps.failures import failure_path
from histonic.data.maps.remote.mirror import BESIDE, ENGINE_FILE, LISTING, Mirror
from histonic.data.maps.remote.published import FAILURES, MAPS, ROUNDS, THUMBNAILS, publish_map
from histonic.data.maps.store import map_folder, thumbnail_path
from histonic.stages.compress.settings import CompressSettings

OWN = ".own"
"""In the copy of an object store: what this run writes."""
GLANCE_S = 60.0
"""Between two looks at all that other runs have published."""


class Destination:
    """A store that maps are written into.

    Args:
        place: As given.
        folder: Of it.
        claims: On the store.

    Attributes:
        place: As given.
        folder: What is there already.
        own: Where this run writes maps and their pictures: the store itself.
        claims: On the store.
    """

    def __init__(self, place: Path | Url, folder: Path, claims: Claiming) -> None:
        self.place = place
        self.folder = self.own = folder
        self.claims = claims

    def read_facts(self, folder: Path) -> MapFacts:
        """The facts of a map that is there and whole.

        Raises:
            StoreError: It is damaged.
        """
        return read_checked_facts(folder)

    def glance(self) -> None:
        """Let the folder hold what other runs made, now and then."""

    def look(self, slide_id: str) -> None:
        """Let the folder hold what other runs made of a slide."""

    def publish(self, slide_id: str) -> None:
        """Let others see a map that was written."""

    def publish_failure(self, slide_id: str) -> None:
        """Let others see the record of a slide that failed, and its picture."""

    def forget_failure(self, slide_id: str) -> None:
        """Remove the record of a slide that failed before."""
        failure_path(self.folder, slide_id).unlink(missing_ok=True)

    def share(self) -> None:
        """Let others see what lies beside the maps."""

    def gather(self) -> None:
        """Let the folder hold what other runs made."""

    def finish(self) -> None:
        """Let others see what was written at last."""


class RemoteDestination(Destination):
    """The same in an object store. The folder holds one map at a time, and of the others their facts.

    Args:
        place: The store's URL.
        mirror: Of the store, in a folder of this run's own.
        claims: On the store.
    """

    def __init__(self, place: Url, mirror: Mirror, claims: Claiming) -> None:
        super().__init__(place, mirror.folder, claims)
        # Apart from the copy, which may change while a map is written.
        self.own = mirror.folder / OWN
        self._mirror = mirror
        self._objects = mirror.objects
        self._looked = time.monotonic()
        self._shared: dict[str, str] = {}
        self._shares_engine = False

    def read_facts(self, folder: Path) -> MapFacts:
        """The facts of a map, which came with a hash of their own."""
        return read_map_facts(folder)

    def glance(self) -> None:
        """See :class:`Destination`; the store is listed once a minute."""
        if time.monotonic() - self._looked > GLANCE_S:
            self.gather()

    def look(self, slide_id: str) -> None:
        """See :class:`Destination`."""
        self._mirror.look(slide_id)

    def publish(self, slide_id: str) -> None:
        """See :class:`Destination`."""
        if not self._shares_engine:  # known since the first tiles, and wanted by runs that begin now
            self.share()
        picture, written = thumbnail_path(self.own, slide_id), map_folder(self.own, slide_id)
        try:
            drawn = picture.read_bytes() if picture.is_file() else None
            self._mirror.adopt(publish_map(self._objects, written, drawn))
        finally:
            shutil.rmtree(written, ignore_errors=True)
            picture.unlink(missing_ok=True)

    def publish_failure(self, slide_id: str) -> None:
        """See :class:`Destination`."""
        if slide_id not in self._mirror.maps:
            with suppress(FileNotFoundError):
                drawn = thumbnail_path(self.folder, slide_id).read_bytes()
                self._objects.put(f"{THUMBNAILS}{slide_id}.jpg", drawn)
        record = failure_path(self.folder, slide_id)
        if record.is_file():
            self._objects.put(FAILURES + record.name, record.read_bytes())

    def forget_failure(self, slide_id: str) -> None:
        """See :class:`Destination`."""
        record = failure_path(self.folder, slide_id)
        if record.is_file():
            self._objects.delete(FAILURES + record.name, f"{THUMBNAILS}{slide_id}.jpg")
            record.unlink(missing_ok=True)

    def share(self) -> None:
        """See :class:`Destination`."""
        for name in BESIDE:
            path = self.folder / name
            if path.is_file():
                data = path.read_bytes()
                digest = hashlib.sha256(data).hexdigest()
                if self._shared.get(name) != digest:
                    self._objects.put(name, data)
                    self._shared[name] = digest
        self._shares_engine = ENGINE_FILE in self._shared

    def gather(self) -> None:
        """See :class:`Destination`."""
        self._mirror.refresh(beside=False)
        self._looked = time.monotonic()

    def finish(self) -> None:
        """Write tables, and the names of the maps for servers that list nothing."""
        self.share()
        for _ in range(ROUNDS):
            # In this order: who lists later has read a later version of the names.
            found = self._objects.find(LISTING)
            keys = [each.key for each in self._objects.listed(MAPS)]
            names = [key.removeprefix(MAPS).removesuffix(".json") for key in keys]
            if found is not None and _names_in(found.data) == names:
                return
            said = json.dumps({"maps": names, "written_by": Owner.this().token()}).encode()
            if not self._objects.has_conditions:
                self._objects.put(LISTING, said)
                return
            wrote = (
                self._objects.create(LISTING, said)
                if found is None
                else self._objects.exchange(LISTING, said, found.tag)
            )
            if wrote is not None:
                return


def _names_in(listing: bytes) -> list[str] | None:
    try:
        found: list[str] = json.loads(listing)["maps"]
        return found
    except (ValueError, KeyError, TypeError):
        return None


@contextmanager
def destination_of(settings: CompressSettings, progress: Progress) -> Iterator[Destination]:
    """What a compression writes into; claims are given back and own folders removed at the end.

    Raises:
        OutputError: The store cannot be written.
        StoreError: It cannot be read, or is damaged.
    """
    if not isinstance(settings.out, Url):
        folder = require_writable_folder(settings.out)
        with Claims(folder, settings.stale_after) as claims:
            yield Destination(settings.out, folder, claims)
        return
    with working_copy(settings.out) as mirror, ObjectClaims(mirror.objects, settings.stale_after) as held:
        if not held.excludes:
            warn(
                progress,
                f"{settings.out} has no conditional writes, so that runs do not see what others work on: "
                "give every run slides of its own, with --shard i/n say",
            )
        yield RemoteDestination(settings.out, mirror, held)


@contextmanager
def working_copy(url: Url) -> Iterator[Mirror]:
    """A copy of a remote store in a folder of this process's own: facts of maps, and nothing else.

    Raises:
        OutputError: It is only read, or the disk of this machine refuses.
        StoreError: It cannot be read, or is damaged.
    """
    objects = Objects(url)
    objects.require_writable()
    above = Path(tempfile.gettempdir())
    folder = partial_path(above / "histonic-store")
    try:
        clear_partials(above)
    except OSError as error:
        raise output_error(folder, error) from error
    mirror = Mirror(objects, folder)
    try:
        mirror.refresh()
        yield mirror
    finally:
        shutil.rmtree(folder, ignore_errors=True)
