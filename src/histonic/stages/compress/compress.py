"""Slides to compressed maps: the second step of Neural Image Compression."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Unpack

import numpy as np
import yaml

from histonic.core.errors import HistonicError, OutputError, SettingsError, StoreError
from histonic.core.files import replacing_file, write_text
from histonic.core.notebooks.results import Result
from histonic.core.places.urls import Url
from histonic.core.processes.memory import keep_memory, release_memory
from histonic.core.processes.owners import Owner
from histonic.core.processes.prefetch import prefetched
from histonic.core.progress import Progress, heard, say_detail, tell_slide, warn
from histonic.core.settings import plain_settings, resolve
from histonic.data.maps.facts import MapFacts, StoredQuality
from histonic.data.maps.failures import Failure, write_failure
from histonic.data.maps.shares import (
    TissueOutlier,
    TissueShare,
    read_shares,
    tissue_outliers,
    write_shares,
)
from histonic.data.maps.store import Store, encoder_path, map_folder
from histonic.data.maps.writer import writing_map
from histonic.data.tables.slide_lists import SlideRow, read_slide_list
from histonic.encoders.base import Encoder, describe
from histonic.encoders.tile_heads import HEADS_FILE, heads_beside
from histonic.stages.compress.destination import Destination, destination_of
from histonic.stages.compress.encoding import Batches, SlideEnded, TileEncoding, encoder_of, precision_of
from histonic.stages.compress.judging import stored_quality
from histonic.stages.compress.masks import require_sensible_masks
from histonic.stages.compress.pieces import STEPS_PER_SLIDE, compress_on_cluster
from histonic.stages.compress.plan import CompressPlan, map_settings_of, plan_compression
from histonic.stages.compress.reading import (
    Event,
    Failed,
    Opened,
    read_slides,
    stride_of,
    without_path,
    write_thumbnail,
)
from histonic.stages.compress.settings import CompressKeywords, CompressSettings
from histonic.stages.compress.sharing import RUN, SharedSlides, require_same_maker
from histonic.stages.compress.stains import settled_stain
from histonic.training.devices import pick_device

LOG = logging.getLogger(__name__)
KEPT_OUT = {"shard", "sheet", "slides", "replace", "stale_after", "limit", "dry_run"}
"""Where and how a run stands does not change the maps, so the store's settings hold none of these."""
BATCHES_AHEAD = 3
HEAPS = 2
"""With a heap a thread, memory at the peak is a quarter higher, and twice as high where cores are busy."""


@dataclass(repr=False)
class CompressResult(Result):
    """What a compression did.

    Attributes:
        store: The folder of the maps, or its URL.
        done: Slides compressed now.
        skipped: Slides whose maps were there already.
        failures: Slides that could not be compressed.
        enlarged: How many times coarser slides were enlarged, by slide, of those compressed now.
        tiles: Tiles encoded now.
        seconds: Wall time spent on them.
        encoder_share: Share of that time in which the encoder worked, 0 to 1; the rest it waited for pixels.
        shares: How much of each slide in the store is tissue; also in ``tissue.csv``.
        outliers: Slides whose share of tissue stands out; none was left out for it.
        plan: With ``dry_run`` what would be done; nothing was done then.
    """

    store: Path | Url
    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    enlarged: dict[str, float] = field(default_factory=dict)
    tiles: int = 0
    seconds: float = 0.0
    encoder_share: float = 0.0
    shares: list[TissueShare] = field(default_factory=list)
    outliers: list[TissueOutlier] = field(default_factory=list)
    plan: CompressPlan | None = None


def compress(
    settings: CompressSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[CompressKeywords],
) -> CompressResult:
    """Compress slides to maps of codes, one Zarr group per slide.

    Finished slides are skipped, so the same command resumes after an interruption, and an
    interrupted run ends with the same bytes as an undisturbed one. A slide that fails is recorded
    with stage and reason; the run goes on. At the end the share of tissue of each slide in the store is
    written to ``tissue.csv``, and slides that stand out among their neighbours are named.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``slides=[...]``, ``encoder="colour"``, ``out="store"``.

    Any number of runs, on one or many hosts, may work on one store at the same time: each slide is claimed
    by the run that works on it, and every map appears whole, by one rename.

    Raises:
        SettingsError: A setting is wrong, no slide was given, or the masks cannot be meant.
        EncoderError: The encoder cannot be loaded.
        StoreError: The store holds maps of another encoder or other settings, or another run makes such.
        OutputError: The store cannot be written.

    Example:
        >>> import tempfile
        >>> from histonic.slides.formats.pyramid import write_pyramid
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     image = np.full((300, 400, 3), (200, 120, 180), np.uint8)
        ...     write_pyramid(f"{folder}/a.tif", image, mpp=0.5)
        ...     result = compress(slides=[f"{folder}/a.tif"], encoder="colour", out=f"{folder}/store")
        ...     result.done
        ['a']
    """
    resolved = resolve(CompressSettings, settings, values)
    listener = heard(progress)
    keep_memory(heaps=HEAPS)
    rows = rows_of(resolved)
    if resolved.cluster is not None and not resolved.dry_run:
        result = CompressResult(resolved.out)
        compress_on_cluster(result, resolved, rows, listener, settled, _open_job)
        return result
    resolved, encoder = settled(resolved)
    if resolved.stain.normalisation is not None:
        listener.say(f"the stains of every slide are normalised by {resolved.stain.normalisation.words}")
    say_detail(
        listener,
        f"encoder {encoder.spec.name}: tiles of {encoder.spec.tile_px} px at {encoder.spec.mpp:g} µm/px, "
        f"codes of {encoder.spec.code_size}, precision {resolved.precision}, fingerprint "
        f"{encoder.fingerprint[:12]}, on {pick_device(resolved.device)}",
    )
    if resolved.dry_run:
        return CompressResult(resolved.out, plan=plan_compression(rows, resolved, encoder, listener))
    with (
        destination_of(resolved, listener) as destination,
        TileEncoding(encoder, resolved, destination.folder) as encoding,
    ):
        job = _Job(resolved, encoder, encoding, destination)
        job.begin()
        return job.run(rows, listener)


def settled(settings: CompressSettings) -> tuple[CompressSettings, Encoder]:
    """The settings with precision, stride and stains as they will be on this machine, and the encoder.

    Raises:
        EncoderError: The encoder cannot be loaded.
        SettingsError: The stains cannot be brought to what is asked for.
    """
    precision = precision_of(settings)
    encoder = encoder_of(settings, pick_device(settings.device), precision)
    stride = stride_of(settings, encoder.spec)
    stain = settled_stain(settings.stain, encoder.spec, settings.private)
    known = {"precision": precision, "stride_px": stride, "stride_share": None, "stain": stain}
    return settings.model_copy(update=known), encoder


def rows_of(settings: CompressSettings) -> list[SlideRow]:
    """The slides of a compression, or of its shard.

    Raises:
        SettingsError: No slide is given, there is no such shard, a slide has no name of its own, or the masks
            cannot be meant.
        TableError: A table of slides is wrong.
    """
    if not settings.slides:
        raise SettingsError(
            "Compress slides.",
            "No slide was given.",
            "Give slide files, folders or a CSV with a path column.",
        )
    part, parts = (int(number) for number in settings.shard.split("/"))
    if not 1 <= part <= parts:
        raise SettingsError(
            f"Take shard {settings.shard}.", "There is no such part.", "Give i/n with i from 1 to n."
        )
    rows = read_slide_list(settings.slides, settings.slide_sheet, settings.names)
    unnamed = [row.slide_id for row in rows if settings.private and not row.is_named]
    if unnamed:
        raise SettingsError(
            "Compress without paths and file names (--private).",
            f"{len(unnamed)} slides are known by their file names alone, such as {unnamed[0]!r}.",
            "Give a table with the columns path and slide_id.",
        )
    require_sensible_masks(rows, settings, settings.masks)
    return rows[part - 1 :: parts][: settings.limit]


def _open_job(
    settings: CompressSettings, encoder: Encoder, destination: Destination, stack: ExitStack
) -> _Job:
    encoding = stack.enter_context(TileEncoding(encoder, settings, destination.folder))
    return _Job(settings, encoder, encoding, destination)


class _Job:
    """One run of the stage: a thread reads slides ahead, others encode, this one writes."""

    def __init__(
        self,
        settings: CompressSettings,
        encoder: Encoder,
        encoding: TileEncoding,
        destination: Destination,
    ) -> None:
        self.given = settings
        self.settings = settings.model_copy(update={"out": destination.folder})
        self.encoder = encoder
        self.encoding = encoding
        self.destination = destination
        self.folder = destination.folder
        self.described = describe(encoder)
        self.map_settings = map_settings_of(settings)
        made_by = f"{self.described.fingerprint} {self.map_settings.model_dump_json()}"
        self._run_name = RUN + hashlib.sha256(made_by.encode()).hexdigest()[:16]
        self._versions = {name: version(name) for name in ("histonic", "numpy", "torch", "zarr")}
        self._waited_s = 0.0
        self._slides_left = self._slides = self.slides_in_all = 0

    def begin(self) -> None:
        """Write encoder and settings beside the maps.

        Raises:
            StoreError: The store holds maps of another encoder or other settings, or another run makes such.
        """
        # Held to the end: it tells others that a run of this encoder is at work, before any map is there.
        self.destination.claims.take(f"{self._run_name}-{Owner.this().token()}")
        self._require_own_store()
        self.encoder.save(encoder_path(self.folder))
        # What they say holds at the scale that they learned from.
        heads = heads_beside(self.settings.encoder) if self.settings.tile_um is None else None
        if heads is not None:
            with replacing_file(self.folder / HEADS_FILE) as partial:
                shutil.copyfile(heads, partial)
        elif self.settings.tile_um is not None:
            # Of a run at the encoder's own scale, which failed before the first map.
            (self.folder / HEADS_FILE).unlink(missing_ok=True)
        kept = plain_settings(self.given, private=self.given.private, exclude=KEPT_OUT)
        write_text(self.folder / "settings.yaml", yaml.safe_dump(kept, sort_keys=True, allow_unicode=True))
        self.destination.share()

    def _require_own_store(self) -> None:
        asked = f"Compress with {self.described.name!r} into {self.destination.place}."
        for other in self.destination.claims.others():
            if other.name.startswith(RUN) and not other.name.startswith(self._run_name):
                raise StoreError(
                    asked,
                    f"{other} compresses into it with another encoder (or another version or precision), or "
                    "with other settings.",
                    "Choose another --out, or wait and delete the store.",
                )
        require_same_maker(self.folder, self.described, self.map_settings)

    def run(self, rows: Sequence[SlideRow], progress: Progress) -> CompressResult:
        slides = SharedSlides(rows, self.settings, self.destination)
        progress.stage("compress", (len(slides.waiting) + len(slides.refused)) * STEPS_PER_SLIDE)
        if slides.skipped:
            progress.say(f"{len(slides.skipped)} slide(s) are compressed already and skipped")
        result = self.compress(slides, progress)
        self.look_at_shares(result, progress)
        return result

    def compress(self, slides: SharedSlides, progress: Progress) -> CompressResult:
        """Do all slides; what is said of the whole store comes after."""
        result = CompressResult(self.destination.place)
        began, self._waited_s = time.perf_counter(), 0.0
        while slides.waiting:
            before = len(slides.waiting)
            self._encode_all(slides, result, progress)
            if len(slides.waiting) == before:
                slides.wait(progress)
        for failed in slides.refused:
            self._record(failed, result, progress)
        for row in slides.skipped:
            result.skipped.append(row.slide_id)
            self.destination.forget_failure(row.slide_id)
        result.skipped.sort()
        result.failures += slides.elsewhere
        result.seconds = time.perf_counter() - began
        result.encoder_share = max(0.0, 1 - self._waited_s / result.seconds)
        return result

    def look_at_shares(self, result: CompressResult, progress: Progress) -> None:
        """Write how much of each slide in the store is tissue, and find those that stand out."""
        try:
            self.destination.gather()
            store = Store.open(self.folder)
            result.shares = read_shares(self.folder, store.slide_ids, store.failures())
            result.outliers = tissue_outliers(result.shares)
            write_shares(self.folder, result.shares, result.outliers)
            self.destination.finish()
        except (OutputError, StoreError) as error:  # the maps are there all the same
            warn(progress, f"no table of the shares of tissue: {error}")

    def _encode_all(self, slides: SharedSlides, result: CompressResult, progress: Progress) -> None:
        """All slides that no other run holds at the moment."""
        self._slides_left = self._slides = len(slides.waiting)
        events = prefetched(read_slides(slides.take(), self.settings, self.encoder.spec), BATCHES_AHEAD)
        try:
            for event in events:
                if isinstance(event, Failed):
                    self._record(event, result, progress)
                    slides.release(event.row)
                elif isinstance(event, Opened):
                    self._encode_slide(event, events, result, progress)
                    slides.release(event.row)
                    release_memory()
                self._slides_left -= isinstance(event, Failed | Opened)
                self._count_others(slides, progress)
            self._count_others(slides, progress)
        finally:
            events.close()  # type: ignore[attr-defined]

    def _count_others(self, slides: SharedSlides, progress: Progress) -> None:
        if settled := slides.settled_by_others():
            self._slides_left -= settled
            progress.advance(settled * STEPS_PER_SLIDE)

    def _encode_slide(
        self, opened: Opened, events: Iterator[Event], result: CompressResult, progress: Progress
    ) -> None:
        slide_id = opened.row.slide_id
        total, seen, shown = int(opened.mask.sum()), 0, 0
        batches = Batches(events)
        focus = np.full(opened.mask.shape, np.nan, np.float32)
        target = map_folder(self.destination.own, slide_id)
        for note in filter(None, (opened.reader.note, opened.note)):
            progress.say(f"{slide_id}: {note}")
        if opened.slide.stain is not None and opened.slide.stain.left:
            progress.say(f"{slide_id}: its stains are left as they are: {opened.slide.stain.left}")
        try:
            with writing_map(
                target, opened.mask, self.encoder.spec.code_size, self.settings.orientations
            ) as writer:
                # As if the others were as large; which engine is worth its start depends on all of them.
                left = total * max(1, self._slides_left, self.slides_in_all)
                name = str(opened.row.path)
                for batch, codes in self.encoding.encode(batches, name, left, progress, opened.normaliser):
                    writer.put(batch.cells, codes)
                    focus[tuple(batch.cells.T)] = batch.focus
                    seen += len(batch.cells)
                    result.tiles += len(batch.cells)
                    steps = seen * STEPS_PER_SLIDE // total - shown
                    shown += steps
                    number = f"slide {self._slides - self._slides_left + 1} of {self._slides}"
                    progress.advance(steps, f"{number}, {slide_id} {seen}/{total} tiles")
                quality = opened.judged.quality(focus)
                blurred = quality.is_spoilt("blur") if "blur" in self.settings.leave_out else focus > np.inf
                # A slide's usual focus is known only when all its tiles were read.
                if blurred.any():
                    writer.drop(blurred)
                    opened = opened.without(blurred)
                writer.put_quality(quality.stacked())
                stored = stored_quality(opened.judged, quality, int(blurred.sum()))
                writer.finish(self._facts(opened, stored))
                # Now, so that the picture never shows other cells than the map beside it.
                write_thumbnail(self.destination.own, slide_id, opened.draw())
            self.destination.publish(slide_id)
        except SlideEnded as ended:
            self._record(ended.failed, result, progress, shown)
            return
        except (OutputError, StoreError) as error:
            if isinstance(error, OutputError) and error.is_full:
                raise
            batches.pass_over()
            self._record(Failed(opened.row, "write", error), result, progress, shown)
            return
        finally:
            self._waited_s += batches.waited_s
        self.destination.forget_failure(slide_id)
        result.done.append(slide_id)
        tell_slide(progress, slide_id)
        if opened.grid.enlarged > 1:
            result.enlarged[slide_id] = opened.grid.enlarged

    def _facts(self, opened: Opened, quality: StoredQuality) -> MapFacts:
        return MapFacts(
            slide_id=opened.row.slide_id,
            grid=opened.grid,
            slide=opened.slide,
            reader=opened.reader,
            appearance=opened.appearance,
            tissue=opened.tissue,
            quality=quality,
            encoder=self.described,
            encoding=self.encoding.description,
            settings=self.map_settings,
            versions=self._versions,
        )

    def _record(self, failed: Failed, result: CompressResult, progress: Progress, shown: int = 0) -> None:
        error = failed.error
        reason = error.reason if isinstance(error, HistonicError) else f"{type(error).__name__}: {error}"
        failure = Failure(failed.row.slide_id, str(failed.row.path), failed.stage, reason)
        if self.settings.private:
            failure = without_path(failure, failed.row, self.settings.masks)
        try:
            write_failure(self.folder, failure)
            self.destination.publish_failure(failure.slide_id)
        except OutputError as unwritten:
            if unwritten.is_full:
                raise
            warn(progress, str(unwritten))
        result.failures.append(failure)
        progress.advance(STEPS_PER_SLIDE - shown)
        tell_slide(progress, failure.slide_id, failure.reason)
        if not isinstance(error, HistonicError):
            LOG.warning("%s failed at %s", failure.path, failure.stage, exc_info=error)
        progress.say(f"{failure.path}: failed at {failure.stage}: {failure.reason}")
