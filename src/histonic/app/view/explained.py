"""The explanations that lie in a run, by slide, as layers on one colour scale per question."""

from __future__ import annotations

import json
from collections import defaultdict
from functools import cache
from pathlib import Path

import numpy as np

from histonic.app.view.layers import Layer, Values, explanation_layer
from histonic.core.errors import HistonicError
from histonic.core.files import PARTIAL_PREFIX, hash_of
from histonic.data.maps.cell_maps import read_cell_map
from histonic.runs.run import Run
from histonic.stages.explain.record import FOLDER, RECORD, Explanation, read_explanation, title_of
from histonic.stages.explain.values import common_scale, greatest_value
from histonic.stages.report.cases.plain import check_words, fold_warning, scale_words

LARGE_CORRELATION = 0.5
"""Of a map with that of randomised weights, above which it shows the slide more than what was learned."""
Question = tuple[str, str, str | None]


class ExplainedRun:
    """A run with its explanations.

    Args:
        run: The run.
        name: By which it is called.
    """

    def __init__(self, run: Run, name: str) -> None:
        self.run = run
        self.name = name
        self._records: dict[str, list[tuple[Path, Explanation]]] = defaultdict(list)
        self._folders: dict[Question, list[Path]] = defaultdict(list)
        for path in sorted((run.folder / FOLDER).glob(f"*/*/*/{RECORD}")):
            if path.parent.name.startswith(PARTIAL_PREFIX):
                continue
            try:
                record = read_explanation(path)
            except HistonicError:
                continue  # It is written anew when the slide is explained again.
            self._records[record.slide_id].append((path.parent, record))
            self._folders[_question(record)].append(path.parent)
        self._scale = cache(self._scale_of)
        bundle = run.folder / "bundle" / "bundle.json"
        self._bundle = hash_of(bundle) if bundle.is_file() else ""
        self._warnings = _warnings(run.folder / "report.json")

    def targets_of(self, slide_id: str) -> set[str]:
        """Targets that were explained on a slide."""
        return {record.target for _, record in self._records.get(slide_id, ())}

    def layers(self, slide_id: str) -> list[Layer]:
        """All explanations of a slide."""
        found = []
        for folder, record in self._records.get(slide_id, ()):
            try:
                cells = read_cell_map(folder / "values.zarr")
            except HistonicError:
                continue
            scale = self._scale(_question(record))

            def read(folder: Path = folder) -> Values:
                return Values(np.asarray(read_cell_map(folder / "values.zarr").values, np.float32))

            notes = self._notes(record, greatest_value(folder), scale)
            warning = self._warnings.get(
                record.target,
                "Whether this model is better than chance was not looked at: see 'histonic report'.",
            )
            found.append(explanation_layer(record, self.name, read, cells.grid, scale, notes, warning))
        return found

    def _scale_of(self, question: Question) -> float:
        return common_scale(self._folders[question])

    def _notes(self, record: Explanation, greatest: float | None, scale: float) -> tuple[str, ...]:
        said = [title_of(record), scale_words(greatest, scale)]
        if record.inputs.bundle != self._bundle:
            said.append("It was made by other networks than those that lie in the run now.")
        if record.shrinkage == 0:
            said.append("Validation shrank the predictions to nothing: no cell speaks for anything.")
        if record.curves is not None:
            areas, better = record.curves.areas, record.curves.is_better
            if not better:
                said.append("The map ranks cells no better than random orders do: do not read it.")
            said.append(
                check_words(record.output, areas.deletion, areas.insertion, areas.random, better=better)
            )
        if record.randomisation is not None and record.randomisation.mean > LARGE_CORRELATION:
            said.append("Networks with random weights give nearly the same map: it shows the slide.")
        return tuple(each for each in said if each)


def _question(record: Explanation) -> Question:
    return record.method, record.target, record.inputs.output


def _warnings(path: Path) -> dict[str, str]:
    """By target whether its maps may show nothing, as the report of the run has found."""
    try:
        targets = json.loads(path.read_text(encoding="utf-8"))["targets"]
        return {
            str(each["task"]["name"]): fold_warning(each["against_chance"], bool(each["crossed"]))
            for each in targets
        }
    except (OSError, ValueError, LookupError, TypeError):
        return {}
