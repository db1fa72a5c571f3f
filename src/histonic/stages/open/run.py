"""A finished run as a notebook asks it: tables, figures, patients, and models of one's own beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from histonic.core.places.frames import Frame, FrameTable
from histonic.core.task import Task
from histonic.runs import run as files
from histonic.runs.primary import primary_of
from histonic.stages.evaluate.evaluate import TaskEvaluation, evaluate_task

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
        It is an empty folder.
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
        found = [
            evaluate_task(task, self.tables[task.name].frame, resamples=resamples, seed=seed)
            for task in tasks
        ]
        return _as_table(found)

    def evaluate(
        self,
        predictions: pd.DataFrame,
        target: str | None = None,
        *,
        resamples: int = 2000,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Score out-of-fold predictions of a model of one's own as the run's are, on the same patients.

        Truth, sites and folds are those of the run, so that the two tables of metrics can be set side by
        side. :class:`histonic.MapDataset` has the patients of each fold.

        Args:
            predictions: A row a patient: ``patient_id`` and, of classes, ``p_CLASS`` each (of two classes one
                is enough) and, if your model calls classes itself, ``predicted``: they are called by the
                run's rule else; of a value ``predicted``; of survival ``risk`` (higher is worse), and
                ``high_risk`` (0 or 1; by default above the fold's median). With ``repeat`` a row a patient
                and repeat.
            target: The name of one target; not needed where there is but one.
            resamples: Resamples of the patients for the 95 % intervals.
            seed: Of the resamples.

        Returns:
            As :meth:`metrics`.

        Raises:
            TableError: A column or patient is absent, a patient has several rows or is none of the run's, or
                a cell cannot be used; or the run's rule is a threshold chosen for its own networks, and there
                is no ``predicted``.
            RunError: There is no such target.
            CohortError: The target cannot be evaluated.
        """
        from histonic.stages.open.own import evaluate_own

        return _as_table([evaluate_own(self, predictions, target, resamples=resamples, seed=seed)])

    def folds(self) -> Iterator[tuple[int, int]]:
        """Repeat and fold of every place in which patients were tested, in order."""
        return iter(sorted({place for each in self.cohort.patients for place in each.tested_in}))

    def figures(self, target: str | None = None) -> list[str]:
        """Names of what :meth:`plot` draws of a target."""
        from histonic.stages.open.figures import figure_names

        return figure_names(self.find_task(target).kind)

    def plot(
        self,
        name: str,
        target: str | None = None,
        *,
        figure: Any = None,
        subgroups: Sequence[str] = (),
        labels: str | Path | Frame | None = None,
        resamples: int = 500,
    ) -> Any:
        """Draw one of the report's figures, such as ``roc``, ``calibration`` or ``km``.

        Args:
            name: See :meth:`figures`.
            target: The name of one target; not needed where there is but one.
            figure: Matplotlib figure to draw on; a new one of pyplot by default.
            subgroups: Columns of the label table, for the ``forest``.
            labels: The label table, if it has moved since the training.
            resamples: Resamples of the patients, for bands and intervals.

        Returns:
            The Matplotlib axes, or a list of them.

        Raises:
            SettingsError: There is no such figure for this kind of target, or the data do not suffice.
            RunError: There is no such target.
            CohortError: The target cannot be evaluated.
        """
        from histonic.stages.open.figures import plot

        table = Path(labels) if isinstance(labels, str) else labels
        given = FrameTable(table) if isinstance(table, Frame) else table
        return plot(self, name, target, figure=figure, subgroups=subgroups, labels=given, resamples=resamples)

    def show(
        self,
        patient: str,
        target: str | None = None,
        *,
        method: str | None = "integrated-gradients",
        store: str | Path | None = None,
        slides_at: str | Path | None = None,
        figure: Any = None,
    ) -> Any:
        """Show a patient's slides, what speaks for and against the prediction, the prediction and the truth.

        Args:
            patient: As in the label table.
            target: The name of one target; not needed where there is but one.
            method: Of the explanation, see :func:`histonic.explain`; None: none.
            store: Of the maps, if it has moved since the training.
            slides_at: Folder of the slide files, if they have moved.
            figure: Matplotlib figure to draw on; a new one of pyplot by default.

        Returns:
            The Matplotlib axes, two a slide.

        Raises:
            RunError: There is no such patient, target or method.
            StoreError: The store has moved, or a map is damaged.
        """
        from histonic.stages.open.patients import show

        places = [None if each is None else Path(each) for each in (store, slides_at)]
        return show(self, patient, target, method=method, store=places[0], slides_at=places[1], figure=figure)


def _as_table(found: Sequence[TaskEvaluation]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for each in found:
        task: Task = each.task
        about = {"target": task.name, "patients": each.n}
        for score in each.scores:
            told = {key: value for key, value in score.to_dict().items() if key != "name"}
            leads = score.name == primary_of(task)
            rows.append({**about, "metric": score.name, "leads": leads, **told})
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(NUMBERS, float))
