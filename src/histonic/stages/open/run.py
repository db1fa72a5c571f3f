"""A finished run as a notebook asks it: its predictions and its metrics as tables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from histonic.runs import run as files
from histonic.runs.primary import primary_of
from histonic.stages.evaluate.evaluate import evaluate_task

NUMBERS = ("value", "low", "high", "chance")
COLUMNS = ("target", "metric", *NUMBERS, "higher_is_better", "leads", "patients", "note")


class Run(files.Run):
    """A finished run: what was trained, its out-of-fold predictions and its metrics.

    Example:
        >>> import tempfile
        >>> from histonic.core.errors import RunError
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     try:
        ...         Run.open(folder)
        ...     except RunError as error:
        ...         print(error.found)
        There is no such file.
    """

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Run:
        """Read what is needed of a finished run; nothing is computed.

        Args:
            folder: As made by :func:`histonic.train_slides`.

        Raises:
            RunError: There is no such run, it is not finished, or a file of it is damaged.
        """
        return cls(**vars(files.read_run(Path(folder))))

    def metrics(self, target: str | None = None, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
        """Score the out-of-fold predictions; the numbers are those of :func:`histonic.evaluate_run`.

        Args:
            target: The name of one target; None for all.
            resamples: Resamples of the patients for the 95 % intervals.
            seed: Of the resamples.

        Returns:
            One row a target and metric, a target's leading one first (``leads``): ``value`` with its 95 %
            interval from ``low`` to ``high``, ``chance`` (of predictions that know nothing of the slides),
            ``higher_is_better``, ``patients`` with a truth, and ``note``. What is undefined is NaN, and the
            note says why.

        Raises:
            RunError: There is no such target.
            TableError: A column or cell of a table of predictions cannot be used.
            CohortError: A target cannot be evaluated, as where all patients are of one class.
        """
        tasks = self.tasks if target is None else (self.find_task(target),)
        rows: list[dict[str, Any]] = []
        for task in tasks:
            found = evaluate_task(task, self.tables[task.name].frame, resamples=resamples, seed=seed)
            about = {"target": task.name, "patients": found.n}
            for score in found.scores:
                told = {key: value for key, value in score.to_dict().items() if key != "name"}
                leads = score.name == primary_of(task)
                rows.append({**about, "metric": score.name, "leads": leads, **told})
        return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(NUMBERS, float))
