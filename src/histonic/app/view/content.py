"""What is looked at: a run, a store, or slides, as a list of cases and of slides with their layers."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from PIL import Image

from histonic.app.view.explained import ExplainedRun
from histonic.app.view.layers import Layer, store_layers
from histonic.app.view.settings import ViewSettings
from histonic.app.view.slides import SlideSource
from histonic.core.errors import HistonicError, SettingsError, StoreError, TableError
from histonic.core.places.urls import Url
from histonic.core.units import WH
from histonic.data.maps.quality import read_quality
from histonic.data.maps.remote.opening import fetch_maps, open_store
from histonic.data.maps.shares import read_shares
from histonic.data.maps.store import Store, map_folder, read_map
from histonic.data.tables.slide_lists import read_slide_list
from histonic.runs.run import Run, read_run
from histonic.stages.explain.slide import find_slide_file
from histonic.stages.report.cases.content import list_cases
from histonic.stages.report.cases.document import CaseList

DESCRIBED = 24
"""Slides whose layers are kept in mind."""
MOST_LETTERS = 60
"""Of a URL in the name of a file: four bytes each, a disk takes names of 255."""
GONE = "The slide file is not at hand: the stored thumbnail is shown."


@dataclass(frozen=True)
class Described:
    """What can be shown of a slide.

    Attributes:
        size_wh: Level 0 in pixels; of a thumbnail alone its own.
        mpp: Of level 0; None if not known.
        source: The slide file; None if it is not at hand.
        thumbnail: Its small picture, if there is one.
        notes: What is to be said of it.
        layers: What can be laid over it.
    """

    size_wh: WH
    mpp: float | None
    source: SlideSource | None
    thumbnail: Path | None
    notes: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()


@dataclass(frozen=True)
class ViewedSlide:
    """A slide of the list; what is in it is looked up when it is opened."""

    slide_id: str
    describe: Callable[[], Described]


@dataclass
class Viewed:
    """All that can be looked at.

    Attributes:
        title: Its name.
        kind: What it is.
        slides: In the order of the cases.
        cases: As the page takes them.
        targets: By which they are sorted.
        notes_path: Where notes are kept.
        models: Names of the runs.
    """

    title: str
    kind: str
    slides: list[ViewedSlide]
    cases: list[dict[str, Any]]
    targets: list[dict[str, Any]]
    notes_path: Path
    models: list[str] = field(default_factory=list)
    _known: OrderedDict[int, Described] = field(default_factory=OrderedDict)
    _busy: dict[int, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def described(self, number: int) -> Described | None:
        """What can be shown of a slide; None if there is no such number.

        Raises:
            HistonicError: Neither slide, map nor picture can be read.
        """
        if not 0 <= number < len(self.slides):
            return None
        # A slide that is looked up for the first time must not hold up the tiles of another.
        with self._lock:
            busy = self._busy.setdefault(number, threading.Lock())
        with busy:
            with self._lock:
                found = self._known.get(number)
                if found is not None:
                    self._known.move_to_end(number)
                    return found
            found = self.slides[number].describe()
            with self._lock:
                self._known[number] = found
                while len(self._known) > DESCRIBED:
                    self._known.popitem(last=False)
            return found

    def index(self, *, notes: bool) -> dict[str, Any]:
        """The page's list.

        Args:
            notes: Whether notes can be written.
        """
        return {
            "title": self.title,
            "kind": self.kind,
            "notes": notes,
            "notes_file": self.notes_path.name,
            "models": self.models,
            "targets": self.targets,
            "slides": [slide.slide_id for slide in self.slides],
            "cases": self.cases,
        }


def open_viewed(settings: ViewSettings) -> Viewed:
    """Find out what is to be looked at.

    Raises:
        SettingsError: It is neither run, store nor slide.
        HistonicError: It cannot be read.
    """
    what = settings.what
    if not isinstance(what, Url) and (what / "run.json").is_file():
        return _of_run(settings, what)
    if settings.beside is not None:
        raise SettingsError(
            f"Show {settings.beside} beside {what}.", f"{what} is no finished run.", "Give two runs."
        )
    if isinstance(what, Url) or (what.is_dir() and any(what.glob("[!.]*.zarr"))):
        return _of_store(settings, what)
    if what.exists():
        return _of_slides(settings, what)
    raise SettingsError(
        f"View {what}.", "There is no such file or folder.", "Give a run, a store, or a slide file."
    )


def _of_run(settings: ViewSettings, what: Path) -> Viewed:
    run = read_run(what)
    explained = [ExplainedRun(run, what.resolve().name)]
    if settings.beside is not None:
        other = read_run(settings.beside)
        name = settings.beside.resolve().name
        explained.append(ExplainedRun(other, name if name != explained[0].name else f"{name} (2)"))
    slides = [slide for patient in run.cohort.patients for slide in patient.slide_ids]
    store, absent = _store(settings.store or run.facts.store)
    shares = {}
    if store is not None:
        held = [slide for slide in slides if slide in store.slide_ids]
        found = read_shares(store.path, held, ())
        shares = {each.slide_id: each.of_cells if each.of_area is None else each.of_area for each in found}
    listed = list_cases(run, shares, {})
    order = [slide for case in listed.cases for slide in case.slide_ids]
    numbers = {slide: number for number, slide in enumerate(order)}
    others = None if settings.beside is None else list_cases(explained[1].run, shares, {})
    finder = SlideFinder(settings, store, run, absent)

    def viewed(slide_id: str) -> ViewedSlide:
        return ViewedSlide(slide_id, lambda: finder.describe(slide_id, explained))

    return Viewed(
        title=explained[0].name,
        kind="run",
        slides=[viewed(slide) for slide in order],
        cases=_case_rows(listed, others, numbers, explained),
        targets=[each.model_dump(mode="json") for each in listed.targets],
        notes_path=_notes_path(what),
        models=[each.name for each in explained],
    )


def _case_rows(
    listed: CaseList,
    others: CaseList | None,
    numbers: dict[str, int],
    explained: Sequence[ExplainedRun],
) -> list[dict[str, Any]]:
    beside = {case.patient_id: case for case in others.cases} if others else {}
    rows = []
    for case in listed.cases:
        row = case.model_dump(mode="json", exclude={"slide_ids", "pictured"})
        row["slides"] = [numbers[slide] for slide in case.slide_ids]
        row["picture"] = numbers[case.pictured] if case.pictured else None
        maps = [each.targets_of(slide) for each in explained for slide in case.slide_ids]
        row["explained"] = sorted(set().union(*maps)) if maps else []
        other = beside.get(case.patient_id)
        row["other"] = [] if other is None else [each.model_dump(mode="json") for each in other.targets]
        rows.append(row)
    return rows


def _of_store(settings: ViewSettings, what: Path | Url) -> Viewed:
    store = open_store(what)
    if isinstance(what, Url) and not store.slide_ids:
        raise StoreError(
            f"View {what}.",
            "No map published by 'histonic compress --out URL' lies there.",
            "Give the URL of such a store. Slides, and stores that were only copied there, are not fetched: "
            "copy what you want to see to a disk.",
        )
    finder = SlideFinder(settings, store, None)
    shares = {each.slide_id: each for each in read_shares(store.path, store.slide_ids, ())}

    def viewed(slide_id: str) -> ViewedSlide:
        return ViewedSlide(slide_id, lambda: finder.describe(slide_id, ()))

    rows = []
    for number, slide_id in enumerate(store.slide_ids):
        share = shares.get(slide_id)
        known = None if share is None else share.of_cells if share.of_area is None else share.of_area
        rows.append(_plain_row(slide_id, number, known, "" if share is None else share.words()))
    return Viewed(
        title=_url_name(what) if isinstance(what, Url) else what.resolve().name,
        kind="store",
        slides=[viewed(slide) for slide in store.slide_ids],
        cases=rows,
        targets=[],
        notes_path=_notes_path(what),
    )


def _of_slides(settings: ViewSettings, what: Path) -> Viewed:
    try:
        rows = read_slide_list([what])
    except TableError:  # two files of one name, in different folders
        rows = read_slide_list([what], names="path")
    finder = SlideFinder(settings, None, None)

    def viewed(slide_id: str, path: Path, mpp: float | None) -> ViewedSlide:
        return ViewedSlide(slide_id, lambda: finder.alone(path, mpp))

    slides = [viewed(row.slide_id, row.path, row.mpp) for row in rows if isinstance(row.path, Path)]
    if len(slides) == 1:
        slides[0].describe()  # What cannot be opened is refused here, not in the browser.
    return Viewed(
        title=what.resolve().name,
        kind="slides",
        slides=slides,
        cases=[_plain_row(slide.slide_id, number, None, "") for number, slide in enumerate(slides)],
        targets=[],
        notes_path=_notes_path(what),
    )


def _plain_row(slide_id: str, number: int, tissue: float | None, words: str) -> dict[str, Any]:
    return {
        "patient_id": slide_id,
        "site": "",
        "slides": [number],
        "picture": number,
        "tissue": tissue,
        "tissue_words": words,
        "targets": [],
        "other": [],
        "explained": [],
    }


def _store(place: Path | Url) -> tuple[Store | None, str]:
    """The store with the facts of its maps, which are fetched one by one; else why it is not at hand."""
    try:
        return open_store(place), ""
    except StoreError as error:
        return None, error.found


def _url_name(url: Url) -> str:
    return url.name.lstrip(".") or "store"


def _notes_path(what: Path | Url) -> Path:
    """Beside what is looked at, so that the run itself stays as it was; of a URL in the folder one is in."""
    whole = Path(_file_name(what)).absolute() if isinstance(what, Url) else what.resolve()
    return whole.with_name(f"{whole.name}.notes.csv")


def _file_name(url: Url) -> str:
    """A name that stores at other URLs do not have; neither password nor query counts."""
    told = str(url).rstrip("/")
    words = (
        re.sub(r"[^\w.-]+", "-", unquote(f"{url.host}{url.path}")).strip("-.")[-MOST_LETTERS:].lstrip("-.")
    )
    return "-".join(filter(None, (words, hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:8])))


class SlideFinder:
    """Finds the file, the picture and the layers of a slide.

    Args:
        settings: Where slides lie.
        store: Of the maps; None if it is not at hand.
        run: Which has pictures as well.
        absent: Why the store is not at hand.
    """

    def __init__(
        self, settings: ViewSettings, store: Store | None, run: Run | None, absent: str = ""
    ) -> None:
        self.settings = settings
        self.store = store
        self.run = run
        self.absent = absent
        self._listed: dict[str, Path] | None = None

    def describe(self, slide_id: str, explained: Sequence[ExplainedRun]) -> Described:
        """What can be shown of a slide of a run or store."""
        notes: list[str] = []
        layers = [layer for each in explained for layer in each.layers(slide_id)]
        size = layers[0].grid.slide_wh if layers else None
        mpp: float | None = layers[0].grid.slide_mpp if layers else None
        source = None
        folder = None if self.store is None else map_folder(self.store.path, slide_id)
        if self.store is not None and folder is not None and folder.is_dir():
            try:
                fetch_maps(self.store, [slide_id])
                slide = read_map(folder)
                size, mpp = slide.grid.slide_wh, slide.grid.slide_mpp
                layers += store_layers(self.store, slide_id, slide.grid, read_quality(folder))
                if slide.knows_level0:
                    found = find_slide_file(slide, self.settings.slides)
                    path = found if isinstance(found, Path) else self._by_name(slide_id)
                    source, why = self._checked(path, size, mpp, slide.slide.fingerprint)
                else:
                    why = "Its cells were imported without pixels of a slide."
                notes += [why] if why else []
            except HistonicError as error:
                notes.append(f"The map cannot be read: {error.found}")
        else:
            notes.append(
                f"The map is not at hand: {self.absent}" if self.absent else "The map is not at hand."
            )
            source, why = self._checked(self._by_name(slide_id), size, mpp, "")
            notes += [why] if why else []
        thumbnail = self._thumbnail(slide_id)
        if source is not None and size is None:
            with source.open() as opened:
                known = opened.mpp_source.startswith("header")
                size, mpp = opened.size_wh, opened.mpp if known else None
        if size is None:
            size = _picture_wh(thumbnail)
        return Described(size, mpp, source, thumbnail, tuple(notes), tuple(layers))

    def alone(self, path: Path, mpp: float | None = None) -> Described:
        """What can be shown of a slide file without a map.

        Args:
            path: The file.
            mpp: Of level 0, where its header does not say; None if no table says either.
        """
        default = self.settings.mpp if mpp is None else mpp
        source = SlideSource(path) if default is None else SlideSource(path, default_mpp=default)
        with source.open() as slide:
            known = default is not None or slide.mpp_source.startswith("header")
            notes = ((slide.note,) if slide.note else ()) + (
                () if known else ("Its resolution is not known: no scale. Say it with --mpp.",)
            )
            return Described(slide.size_wh, slide.mpp if known else None, source, None, notes)

    def _by_name(self, slide_id: str) -> Path | None:
        """A file of the slide's name below the folder of slides."""
        if self.settings.slides is None:
            return None
        if self._listed is None:
            try:
                rows = read_slide_list([self.settings.slides])
            except HistonicError:
                rows = []
            self._listed = {row.slide_id: row.path for row in rows if isinstance(row.path, Path)}
        return self._listed.get(slide_id)

    def _checked(
        self, path: Path | None, size: WH | None, mpp: float | None, fingerprint: str
    ) -> tuple[SlideSource | None, str]:
        """The slide file, if it can be opened and is the one that the map was made of; else why not."""
        if path is None:
            return None, GONE
        source = SlideSource(path, mpp)
        try:
            with source.open() as opened:
                same = opened.fingerprint == fingerprint if fingerprint else size in (None, opened.size_wh)
        except HistonicError as error:
            return None, f"{GONE[:-1]}; {path.name} cannot be read: {error.found}"
        if not same:
            return None, f"{path.name} is not the file that was compressed: the stored thumbnail is shown."
        return source, ""

    def _thumbnail(self, slide_id: str) -> Path | None:
        own = None if self.run is None else self.run.thumbnail(slide_id)
        if own is not None and own.is_file():
            return own
        with suppress(StoreError):  # an object store that no longer answers
            return None if self.store is None else self.store.thumbnail(slide_id)
        return None


def _picture_wh(path: Path | None) -> WH:
    if path is None:
        return WH(1000, 1000)
    try:
        with Image.open(path) as picture:
            return WH(*picture.size)
    except OSError:
        return WH(1000, 1000)
