"""What would stop a recipe after hours of compute, looked at before: empty files, archives, labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from histonic.core.places.frames import NAME, FrameTable
from histonic.data.targets.checks import examine_labels
from histonic.stages.study.frame.cases import Case, Finding, named, table_of
from histonic.stages.study.steps.step import Step

PACKED = (".zip", ".tar", ".tar.gz", ".tgz", ".gz", ".7z", ".rar")


def unusable_files(cases: Sequence[Case]) -> list[Finding]:
    """Errors for files of cases in use that are links to nowhere, or empty as a broken download is."""
    absent: list[str] = []
    empty: list[str] = []
    for path in sorted({case.path for case in cases if not case.left_out}):
        try:
            size = path.stat().st_size
        except OSError:
            absent.append(str(path))
            continue
        if not size:
            empty.append(str(path))
    found = []
    if absent:
        what = f"links to files that are not there: {named(absent)}."
        found.append(Finding("error", what, "Fetch what they point to, or take the links out of the folder."))
    if empty:
        what = f"empty files: {named(empty)}."
        found.append(Finding("error", what, "Download them again, or take them out of the folder."))
    return found


def packed_files(files: Sequence[Path]) -> list[Finding]:
    """A warning on archives of which nothing seems to be unpacked.

    Args:
        files: All of the folder.
    """
    names = {part.lower() for file in files for part in (file.parent.name, file.name)}
    packed = []
    for file in files:
        ending = next((each for each in PACKED if file.name.lower().endswith(each)), None)
        if ending is None:
            continue
        stem = file.name.lower().removesuffix(ending)
        if not any(name.startswith(stem) and name != file.name.lower() for name in names):
            packed.append(file.name)
    if not packed:
        return []
    return [
        Finding("warning", f"still packed: {named(packed)}.", "Nothing in them is looked at: unpack them.")
    ]


def label_findings(cases: Sequence[Case], steps: Sequence[Step]) -> list[Finding]:
    """What training would refuse of the labels, or find hard; nothing for recipes that train on no slides.

    Args:
        cases: To train on, as they will stand in the table.
        steps: Of the recipe.
    """
    training = next((step.settings for step in steps if step.verb == "train"), None)
    if training is None:
        return []
    columns, rows = table_of(cases)
    names = [case.slide_id for case in cases]
    # The labels of a DataFrame's rows are what messages call them.
    frame = pd.DataFrame(rows, columns=columns, index=names)
    checked = examine_labels(
        FrameTable(frame), targets=training["target"], slide_ids=names, folds=int(training["folds"])
    )
    found = []
    for issue in checked.issues:
        if issue.what == "Classes that may be one":
            continue  # micro and macro: a recipe knows its classes
        where = re.sub(r"\brow(s?)\b", r"slide\1", issue.where.removeprefix(f"{NAME}, "))
        what = f"labels, {where}: {issue.what}: {issue.found}"
        elsewhere = " A recipe has no such option: change the table." if "--" in issue.todo else ""
        found.append(Finding(issue.severity, what, f"{issue.todo}{elsewhere}"))
    return found
