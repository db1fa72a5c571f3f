"""Slides as pieces of a job that the workers of a cluster do, a few in each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from histonic.core.claims import Claims
from histonic.core.errors import SettingsError
from histonic.core.files import require_writable_folder
from histonic.core.places.urls import Url
from histonic.core.progress import Forwarding, Listener, Progress
from histonic.data.maps.failures import Failure
from histonic.data.tables.slide_lists import SlideRow
from histonic.encoders.base import Encoder
from histonic.stages.compress.destination import Destination
from histonic.stages.compress.encoding import encoder_of
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.compress.sharing import SharedSlides
from histonic.training.executors.base import Job
from histonic.training.executors.choice import open_executor
from histonic.training.executors.sending import paths_of, sendable

STEPS_PER_SLIDE = 100
MOST_SLIDES = 16
"""In a piece; slides are read ahead only within one."""
PIECES_A_WORKER = 8
"""So many at least, as long as there are slides, so that all workers end at about the same time."""
LOOKED_AT = 20
"""Of the places that were given, those that workers have to see before the work begins."""


class Done(Protocol):
    """What is known of slides that were done."""

    done: list[str]
    skipped: list[str]
    failures: list[Failure]
    enlarged: dict[str, float]
    tiles: int
    seconds: float
    encoder_share: float


class SlideJob(Protocol):
    """A compression with its encoder at work.

    Attributes:
        destination: The store.
        slides_in_all: Of the whole job, where this process does a few of them; else 0.
    """

    destination: Destination
    slides_in_all: int

    def begin(self) -> None:
        """Write encoder and settings beside the maps."""

    def compress(self, slides: SharedSlides, progress: Progress) -> Any:
        """Do all slides."""

    def look_at_shares(self, result: Any, progress: Progress) -> None:
        """Say what is seen of the whole store."""


Settled = Callable[[CompressSettings], tuple[CompressSettings, Encoder]]
OpenJob = Callable[[CompressSettings, Encoder, Destination, ExitStack], SlideJob]


class SomeSlides(NamedTuple):
    """A piece: slides, of so many in all; without settings the question how these are settled on a worker."""

    settings: CompressSettings | None = None
    rows: tuple[SlideRow, ...] = ()
    of: int = 0


class SomeDone(NamedTuple):
    """What became of a piece."""

    settings: CompressSettings
    result: Done | None = None


def compress_on_cluster(
    result: Done,
    settings: CompressSettings,
    rows: Sequence[SlideRow],
    listener: Listener,
    settled: Settled,
    open_job: OpenJob,
) -> None:
    """Compress slides by the workers of a cluster; this process writes what stands beside the maps.

    Workers claim the slides that they work on, as any run does: other runs may share the store, and where a
    worker is thought lost, the next one waits for the claim.

    Args:
        result: Is told what was done.
        settings: With a cluster.
        rows: The slides.
        listener: Hears of all workers.
        settled: Settings as they are on a machine, and the encoder; a function of a module.
        open_job: Opens a compression; a function of a module.

    Raises:
        SettingsError: There is no such cluster, slides are in memory only, or maps go to an object store.
        ExecutorError: Nobody answers, or a worker cannot do the work.
        StoreError: The store holds other maps, or another run makes such.
    """
    asked = f"Compress on the cluster {settings.cluster}."
    if isinstance(settings.out, Url):
        raise SettingsError(
            asked,
            f"{settings.out} is no folder, and workers write into one that all of them see.",
            "Leave --cluster out and give the command on every host: runs share an object store by claims.",
        )
    sent = sendable(settings, asked)
    given = [each for each in sent.slides if isinstance(each, Path)][:LOOKED_AT]
    # A list of many thousand slides is sent in pieces only.
    sent = sent.model_copy(update={"slides": (), "slide_sheet": None})
    if (path := Path(settings.encoder)).is_file():
        sent = sent.model_copy(update={"encoder": str(path.absolute())})
    folder = require_writable_folder(settings.out)
    work = partial(_opening, sent, settled, open_job)
    executor = open_executor(
        Job(f"Compress into {folder}.", work, _compress_some, _spoken),
        listener,
        cluster=settings.cluster,
        device=settings.device,
        reads=[*given, *paths_of(sent, "masks")],
        writes=folder,
    )
    with executor, Claims(folder, settings.stale_after) as claims, ExitStack() as stack:
        # Precision and stains are as on the workers, which may have GPUs where this machine has none.
        known = next(executor.results([SomeSlides()])).settings
        update = {name: getattr(known, name) for name in ("precision", "stride_px", "stride_share", "stain")}
        encoder = encoder_of(settings, "cpu", known.precision)
        destination = Destination(folder, folder, claims)
        job = open_job(settings.model_copy(update=update), encoder, destination, stack)
        job.begin()
        listener.stage("compress", len(rows) * STEPS_PER_SLIDE)
        many = max(1, min(MOST_SLIDES, len(rows) // (PIECES_A_WORKER * executor.slots)))
        pieces = (
            SomeSlides(known, _placed(rows[k : k + many]), len(rows)) for k in range(0, len(rows), many)
        )
        began, busy, spent = time.perf_counter(), 0.0, 0.0
        for _, found in executor.results(pieces):
            if found is not None:
                result.done += found.done
                result.skipped += found.skipped
                result.failures += found.failures
                result.enlarged.update(found.enlarged)
                result.tiles += found.tiles
                busy += found.seconds * found.encoder_share
                spent += found.seconds
        result.skipped.sort()
        result.seconds = time.perf_counter() - began
        result.encoder_share = busy / spent if spent else 0.0
        if result.skipped:
            listener.say(f"{len(result.skipped)} slide(s) are compressed already and skipped")
        job.look_at_shares(result, listener)


def _placed(rows: Sequence[SlideRow]) -> tuple[SlideRow, ...]:
    """Rows with absolute paths."""
    return tuple(
        replace(
            row,
            path=row.path.absolute() if isinstance(row.path, Path) else row.path,
            mask=row.mask and row.mask.absolute(),
        )
        for row in rows
    )


class _Opening:
    """Settings of a job on a worker; and the job, once they are settled for all workers."""

    def __init__(
        self, settings: CompressSettings, settled: Settled, open_job: OpenJob, stack: ExitStack
    ) -> None:
        self.settings = settings
        self.settled = settled
        self._open_job = open_job
        self._stack = stack
        self._job: SlideJob | None = None

    def job(self, known: CompressSettings) -> SlideJob:
        """The job, with its encoder loaded for all pieces."""
        if self._job is None:
            settings, encoder = self.settled(known)
            folder = require_writable_folder(Path(str(settings.out)))
            destination = Destination(folder, folder, Claims(folder, settings.stale_after))
            self._job = self._open_job(settings, encoder, destination, self._stack)
        return self._job


@contextmanager
def _opening(
    settings: CompressSettings, settled: Settled, open_job: OpenJob, device: str
) -> Iterator[_Opening]:
    with ExitStack() as stack:
        yield _Opening(settings.model_copy(update={"device": device}), settled, open_job, stack)


def _compress_some(opening: _Opening, some: SomeSlides, listener: Listener) -> SomeDone:
    if some.settings is None:
        return SomeDone(opening.settled(opening.settings)[0])
    job = opening.job(some.settings)
    job.slides_in_all = some.of
    counted = _Counted(listener)
    # Given back with the piece, however that ends: the worker lives on, and its claims would.
    with Claims(job.destination.folder, some.settings.stale_after) as job.destination.claims:
        slides = SharedSlides(some.rows, some.settings, job.destination, apart=False)
        result = job.compress(slides, counted)
    # Of slides that are there already a run tells nothing.
    listener.advance(len(some.rows) * STEPS_PER_SLIDE - counted.steps)
    return SomeDone(some.settings, result)


def _spoken(some: SomeSlides) -> str:
    names = [row.slide_id for row in some.rows]
    return f"{names[0]} to {names[-1]}" if names[1:] else "".join(names) or "settings"


class _Counted(Forwarding):
    """Counts the steps that it passes on."""

    is_vital: ClassVar[bool] = True

    def __init__(self, listener: Listener) -> None:
        self.steps = 0
        self._listener = listener

    def pass_on(self, name: str, *words: Any) -> None:
        if name == "advance":
            self.steps += words[0]
        getattr(self._listener, name)(*words)
