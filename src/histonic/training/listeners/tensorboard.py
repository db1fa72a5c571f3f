"""Losses, scores and slides as TensorBoard reads them (extra ``tensorboard``)."""

from __future__ import annotations

import os
import re
import threading
import warnings
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from histonic.core.errors import SettingsError
from histonic.core.files import require_writable_folder
from histonic.core.progress import Listener, Measures

OTHER = re.compile(r"[^\w.-]+")
SLIDES = "slides"
"""What the counts of slides are called among the networks."""
FLUSH_SECONDS = 10


class TensorBoard(Listener):
    """Writes what a training measures as event files; each network is a run of TensorBoard's.

    Show them with ``tensorboard --logdir FOLDER``. Tags are ``step/loss``, over steps, and over epochs those
    of :class:`~histonic.core.progress.Measures`, such as ``epoch/validation_loss``; of verbs that work on
    slides ``slides/done`` and ``slides/failed`` count them. A training that goes on after an interruption
    writes steps again that were done after its last checkpoint; TensorBoard shows the later ones.

    Use it as a context manager, or call :meth:`close` at the end.

    Args:
        folder: For the files; it is made.

    Raises:
        SettingsError: The package is not installed.
        OutputError: The folder cannot be written to.

    Example:
        ::

            with histonic.TensorBoard("board") as board:
                histonic.train_slides(store="store", labels="labels.csv", target=["grade"], out="run",
                                      progress=board)
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            # It waits for nothing and needs no server; the viewer is a program of its own.
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise SettingsError(
                f"Write what TensorBoard shows into {os.fspath(folder)}.",
                f"The package tensorboard cannot be imported ({error}).",
                "Install it: pip install 'histonic[tensorboard]'",
            ) from error
        self._is_new = not os.path.exists(folder)
        self.folder = require_writable_folder(folder)
        self._make: Any = SummaryWriter
        self._writers: dict[str, Any] = {}
        self._counts = {"done": 0, "failed": 0}
        self._lock = threading.Lock()

    def measured(self, measures: Measures) -> None:
        """Write the numbers of a step or an epoch."""
        place = measures.step if measures.is_step else measures.epoch
        kind = "step" if measures.is_step else "epoch"
        with self._lock:
            writer = self._writer(measures.network)
            for name, value in measures.values.items():
                writer.add_scalar(f"{kind}/{OTHER.sub('_', name)}", value, place)

    def slide(self, slide_id: str, failed: str = "") -> None:
        """Count a slide."""
        with self._lock:
            self._counts["failed" if failed else "done"] += 1
            writer = self._writer(SLIDES)
            for name, count in self._counts.items():
                writer.add_scalar(f"slides/{name}", count, sum(self._counts.values()))

    def _writer(self, network: str) -> Any:
        if network not in self._writers:
            place = self.folder / (OTHER.sub("_", network).strip("._") or "network")
            self._writers[network] = self._make(str(place), flush_secs=FLUSH_SECONDS)
        return self._writers[network]

    def close(self) -> None:
        """Write what is still to be written, and close the files; a disk that is full is warned of once."""
        lost: list[OSError] = []
        with self._lock:
            for writer in self._writers.values():
                try:
                    writer.close()
                except OSError as error:
                    lost.append(error)
            if self._is_new and not self._writers:
                with suppress(OSError):  # another one writes there
                    self.folder.rmdir()
            self._writers.clear()
        if lost:  # what was trained is whole all the same
            warnings.warn(f"What TensorBoard shows in {self.folder} lacks its end: {lost[0]}", stacklevel=2)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
