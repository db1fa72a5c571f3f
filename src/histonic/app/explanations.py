"""What the command line says of explanations."""

from __future__ import annotations

from collections.abc import Iterator

from histonic.stages.explain.explain import ExplainResult
from histonic.stages.explain.record import SummaryRow, summary_row


def explain_lines(result: ExplainResult) -> Iterator[str]:
    """A line a target and slide, then where all lies, then what failed."""
    for record in result.records:
        yield _line(summary_row(record))
    count = len(result.records)
    yield f"Explanations: {result.folder} ({count} maps; table: {result.folder / 'summary.csv'})"
    for target, slide, reason in result.failures:
        yield f"failed  {target}  {slide}: {reason}"


def _line(row: SummaryRow) -> str:
    parts = [f"{row.target}  {row.slide_id}  ({row.why})  for {row.output!r}"]
    if row.gain is not None:
        parts.append(f"deletion {row.deletion:.3g}, insertion {row.insertion:.3g}, random {row.random:.3g}")
        parts.append(f"randomised weights: correlation {row.randomised:+.2f}")
    if row.lesion_cells is not None:
        auc = "no AUC: all or none of the tissue" if row.auc is None else f"AUC over cells {row.auc:.3f}"
        random = "" if row.auc_randomised is None else f", randomised {row.auc_randomised:.3f}"
        parts.append(f"{auc}{random}")
    return "; ".join(parts)
