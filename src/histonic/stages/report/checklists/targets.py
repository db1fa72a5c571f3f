"""Sentences of each target, for the answers to checklists."""

from __future__ import annotations

from collections.abc import Callable

from histonic.stages.report.document.report import Report
from histonic.stages.report.document.target import Target


def evaluated(report: Report) -> list[Target]:
    """Targets with a result."""
    return [target for target in report.targets if not target.problem]


def of_targets(report: Report, said: Callable[[Target], str]) -> str:
    """A sentence of each target that has one, its name before it."""
    found = [(target.label, said(target)) for target in evaluated(report)]
    return " ".join(f"{label}: {text}" for label, text in found if text)
