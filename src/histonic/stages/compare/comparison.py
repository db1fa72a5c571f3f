"""The result of a comparison of runs, as tables to read and files to keep."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import Field

from histonic.core.documents import Document, write_document
from histonic.core.files import write_csv, write_text
from histonic.metrics.inference.scores import Score


@dataclass(frozen=True)
class RunScore:
    """One metric of one run, on the shared patients."""

    target: str
    run: str
    patients: int
    repeats: int
    score: Score


@dataclass(frozen=True)
class PairDifference:
    """One metric of the first run minus that of the second."""

    target: str
    first: str
    second: str
    patients: int
    score: Score
    """The difference with its paired interval; ``higher_is_better`` is that of the metric."""
    p: float | None = None
    """By exchanging predictions, of the leading metric only."""
    p_holm: float | None = None
    """Corrected for all pairs and targets."""
    p_delong: float | None = None
    """Of AUROC only."""
    p_delong_holm: float | None = None
    note: str = ""


class Comparison(Document):
    """Scores and differences of several runs; ``comparison.json``.

    Attributes:
        runs: Name to folder.
        scores: Per target, run and metric.
        differences: Per target, pair of runs and metric.
        settings: What was asked.
        histonic: The version that compared them.
    """

    FORMAT = "histonic-comparison-1"

    runs: dict[str, str]
    scores: tuple[RunScore, ...]
    differences: tuple[PairDifference, ...]
    settings: dict[str, Any]
    histonic: str = Field(default_factory=lambda: version("histonic"))

    def rows(self) -> list[dict[str, Any]]:
        """The differences as flat rows, for a CSV."""
        return [
            {
                "target": row.target,
                "metric": row.score.name,
                "first": row.first,
                "second": row.second,
                "patients": row.patients,
                "first_value": self._value(row, row.first),
                "second_value": self._value(row, row.second),
                "difference": row.score.value,
                "low": row.score.low,
                "high": row.score.high,
                "higher_is_better": row.score.higher_is_better,
                "p_permutation": row.p,
                "p_permutation_holm": row.p_holm,
                "p_delong": row.p_delong,
                "p_delong_holm": row.p_delong_holm,
            }
            for row in self.differences
        ]

    def _value(self, row: PairDifference, run: str) -> float | None:
        for each in self.scores:
            if (each.target, each.run, each.score.name) == (row.target, run, row.score.name):
                return each.score.value
        return None

    def markdown(self) -> str:
        """Tables to read, one of scores and one of differences for each target."""
        parts = [f"# Comparison of {', '.join(self.runs)}\n", EXPLANATION]
        for target in dict.fromkeys(row.target for row in self.scores):
            scores = [row for row in self.scores if row.target == target]
            parts.append(f"\n## {target}: {scores[0].patients} shared patients\n")
            parts += ["| run | metric | value | 95 % interval |", "| --- | --- | --- | --- |"]
            parts += [
                f"| {row.run} | {row.score.name} | {_number(row.score.value)} | {_ends(row.score)} |"
                for row in scores
            ]
            columns = ("difference", "95 % interval", "p", "p (Holm)", "DeLong p", "DeLong p (Holm)")
            parts += ["", f"| first − second | metric | {' | '.join(columns)} |"]
            parts += ["| --- | --- |" + " --- |" * len(columns)]
            parts += [
                f"| {row.first} − {row.second} | {row.score.name} | {_number(row.score.value, sign=True)} "
                f"| {_ends(row.score, sign=True)} | {_p(row.p)} | {_p(row.p_holm)} | {_p(row.p_delong)} "
                f"| {_p(row.p_delong_holm)} |"
                for row in self.differences
                if row.target == target
            ]
            notes = dict.fromkeys(row.note for row in self.differences if row.target == target and row.note)
            parts += ["", *notes] if notes else []
        return "\n".join(parts) + "\n"


EXPLANATION = (
    "All runs are scored on the patients that all of them predicted. Differences are paired: both runs see "
    "the "
    "same resamples of the\npatients. p: how often a difference as large would arise if each patient's "
    "predictions "
    "were permuted between the runs\nat random; tested for the leading metric. Holm: corrected for all "
    "such tests of "
    "this page."
)


def write_comparison(result: Comparison, out: Path) -> None:
    """Write ``comparison.md``, ``comparison.csv`` and ``comparison.json``."""
    rows = result.rows()
    write_csv(out / "comparison.csv", list(rows[0]), rows)
    write_text(out / "comparison.md", result.markdown())
    write_document(out / "comparison.json", result)


def _number(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "–"
    text = f"{value:+.3f}" if sign else f"{value:.3f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _ends(score: Score, *, sign: bool = False) -> str:
    if score.low is None or score.high is None:
        return "–"
    return f"{_number(score.low, sign=sign)} to {_number(score.high, sign=sign)}"


def _p(value: float | None) -> str:
    return "" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
