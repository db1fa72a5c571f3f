"""The encoding half of compression: tiles in, codes out in the same order, some batches under way at once."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, cast, get_args

import numpy as np
import numpy.typing as npt

from histonic.core.compressed import ORIENTATIONS, EncodingDescription, orient
from histonic.core.errors import EncoderError
from histonic.core.files import write_json
from histonic.core.objects.objects import Objects
from histonic.core.places.urls import Url
from histonic.core.progress import Progress, say_detail
from histonic.core.settings import Engine, Precision
from histonic.data.maps.remote.mirror import ENGINE_FILE
from histonic.data.maps.remote.published import first_facts
from histonic.data.maps.store import Store
from histonic.encoders.base import Encoder, encoder_spec, load_encoder
from histonic.encoders.engines.choice import choose_precision, start_encoding
from histonic.encoders.engines.pool import Before, EncodingPool, PendingCodes
from histonic.encoders.scale import load_encoder_at
from histonic.stages.compress.reading import Closed, Event, Failed, Tiles
from histonic.stages.compress.settings import CompressSettings
from histonic.training.devices import pick_device

PARTS_A_WORKER = 2
"""Parts that lie ready for each thread, so that none waits for the next batch."""
Codes = npt.NDArray[np.float32]


def encoder_of(settings: CompressSettings, device: str, precision: str) -> Encoder:
    """The encoder of a compression, at the scale that is asked for.

    Raises:
        EncoderError: The encoder cannot be loaded.
        SettingsError: No encoder has that name.
    """
    if settings.tile_um is None:
        return load_encoder(settings.encoder, device=device, precision=precision)
    return load_encoder_at(settings.encoder, settings.tile_um, device=device, precision=precision)


def precision_of(settings: CompressSettings) -> Precision:
    """The precision of a compression: as asked, as that of the store's maps, or as fits encoder and machine.

    Raises:
        EncoderError: The encoder's file is absent or damaged.
        StoreError: The store is mixed or damaged.
    """
    if settings.precision == "auto" and isinstance(settings.out, Url):
        objects = Objects(settings.out)
        objects.require_writable()
        there = first_facts(objects)
        if there is not None:
            return there.settings.precision
    elif settings.precision == "auto" and settings.folder.is_dir():
        store = Store.open(settings.folder)
        if store.slide_ids and not store.parts:
            return store.settings.precision
    return choose_precision(settings.precision, encoder_spec(settings.encoder), pick_device(settings.device))


class TileEncoding:
    """An encoder at work for one compression; its engine is chosen when the first tiles are there.

    Args:
        encoder: Loaded.
        settings: Of the compression, with a precision.
        folder: The store; None keeps no record of the engine.
    """

    def __init__(self, encoder: Encoder, settings: CompressSettings, folder: Path | None) -> None:
        self._encoder = encoder
        self._settings = settings
        self._folder = folder
        self._pool: EncodingPool | None = None

    @property
    def description(self) -> EncodingDescription:
        """How the codes were made.

        Raises:
            EncoderError: Nothing was encoded yet.
        """
        if self._pool is None:
            raise EncoderError("Describe an encoding.", "Nothing was encoded yet.", "Encode tiles first.")
        return self._pool.description

    def encode(
        self,
        batches: Iterator[Tiles],
        name: str,
        left: int,
        progress: Progress,
        before: Before | None = None,
    ) -> Iterator[tuple[Tiles, Codes]]:
        """Codes of batches of tiles, in their order.

        Args:
            batches: The tiles.
            name: Of the slide, for messages.
            left: Tiles that this run has still to encode, about.
            progress: Is told which engine cannot be used.
            before: What is done to the tiles first; None: nothing.

        Yields:
            Each batch with its codes ``(N, O, D)``, O = 1, or 8 orientations.

        Raises:
            EncoderError: Some codes are not finite, or beyond what float16 holds.
        """
        under_way: deque[tuple[Tiles, list[PendingCodes]]] = deque()
        try:
            for batch in batches:
                pool = self._pool or self._start(batch, left, progress)
                turned = (
                    np.ascontiguousarray(orient(batch.tiles, turn, axes=(1, 2)))
                    for turn in range(self._turns)
                )
                under_way.append((batch, [pool.submit(tiles, before) for tiles in turned]))
                if len(under_way) > self._most_under_way(pool):
                    yield self._finished(*under_way.popleft(), name)
            while under_way:
                yield self._finished(*under_way.popleft(), name)
        finally:
            for _, pending in under_way:
                for part in pending:
                    part.cancel()

    @property
    def _turns(self) -> int:
        return ORIENTATIONS if self._settings.orientations == ORIENTATIONS else 1

    def _most_under_way(self, pool: EncodingPool) -> int:
        parts = math.ceil(self._settings.batch / pool.description.batch) * self._turns
        return math.ceil(PARTS_A_WORKER * pool.workers / parts)

    def _start(self, first: Tiles, left: int, progress: Progress) -> EncodingPool:
        asked = self._settings.engine
        self._pool = start_encoding(
            self._encoder,
            device=pick_device(self._settings.device),
            precision=cast(Precision, self._settings.precision),
            engine=self._engine_of_store() if asked == "auto" else asked,
            tiles=left * self._turns,
            batch=self._settings.batch,
            first=first.tiles,
            progress=progress,
        )
        description = self._pool.description
        say_detail(progress, f"the encoder runs {description.engine}, {description.batch} tiles at once")
        if self._folder is not None and not (self._folder / ENGINE_FILE).exists():
            write_json(self._folder / ENGINE_FILE, {"engine": self._pool.description.engine})
        return self._pool

    def _engine_of_store(self) -> Engine | None:
        """What the first run on the store chose; None if there was none, or its record cannot be read."""
        if self._folder is None:
            return None
        try:
            found = json.loads((self._folder / ENGINE_FILE).read_text(encoding="utf-8"))["engine"]
        except (OSError, ValueError, TypeError, LookupError):
            return None
        return cast(Engine, found) if found in get_args(Engine) else None

    def _finished(self, batch: Tiles, pending: list[PendingCodes], name: str) -> tuple[Tiles, Codes]:
        codes = np.stack([each.result() for each in pending], axis=1)
        if not np.isfinite(codes).all() or np.abs(codes).max() > np.finfo(np.float16).max:
            raise EncoderError(
                f"Encode {name} with {self._encoder.spec.name!r}.",
                "Some codes are not finite, or beyond what float16 holds.",
                "The weights are damaged: import or train the encoder again.",
            )
        return batch, codes

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Batches:
    """The tiles of one slide among the events of all, and how long they were waited for."""

    def __init__(self, events: Iterator[Event]) -> None:
        self.waited_s = 0.0
        self._events = events
        self._is_over = False

    def __iter__(self) -> Iterator[Tiles]:
        return self

    def __next__(self) -> Tiles:
        if self._is_over:
            raise StopIteration
        began = time.perf_counter()
        event = next(self._events)
        self.waited_s += time.perf_counter() - began
        if isinstance(event, Tiles):
            return event
        self._is_over = True
        if isinstance(event, Failed):
            raise SlideEnded(event)
        raise StopIteration

    def pass_over(self) -> None:
        """Drop what is left of this slide; the events of the next one are not its own."""
        while not self._is_over:
            self._is_over = isinstance(next(self._events), Closed | Failed)


class SlideEnded(Exception):
    """A slide broke off in the middle of its tiles; its half-written map is dropped."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.row.slide_id)
        self.failed = failed
