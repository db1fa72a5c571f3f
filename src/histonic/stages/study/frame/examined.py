"""What would stop a recipe after hours of compute, looked at before: empty files, archives, labels."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from histonic.core.places.frames import NAME, FrameTable
from histonic.data.names import SLIDE_EXTENSIONS
from histonic.data.targets.checks import examine_labels
from histonic.stages.study.frame.cases import Case, Finding, named, table_of
from histonic.stages.study.steps.step import Step

PACKED = (".zip", ".tar", ".tar.gz", ".tgz", ".gz", ".7z", ".rar")
CHECKSUMS = (".md5", ".sha256")
UNTOLD = re.compile(
    r"lesion_annotations|gdc_download_.*|clinical\.cart\..*|mitoses_image_data_part_\d+"
    r"|prostate-cancer-grade-assessment"
)
"""Archives, without their endings, whose names are not those of the files and folders in them."""
UNUSED = re.compile(r"camelyonpatch_level_2_split_(?:train|valid|test)_mask\.h5\.gz")
"""What no recipe reads, unpacked or not."""


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


def packed_files(folder: Path, files: Sequence[Path]) -> list[Finding]:
    """A warning on archives of which nothing seems to be unpacked, and a note on those that cannot be told.

    Args:
        folder: Of the data.
        files: All of it.
    """
    inside = {file.relative_to(folder).as_posix(): file for file in files}
    folders = {part.lower() for path in inside for part in path.split("/")[:-1]}
    # An archive beside another of a longer name, or beside its own checksum, was not unpacked by that.
    names = sorted(name for file in files if not (name := file.name.lower()).endswith((*PACKED, *CHECKSUMS)))
    packed: list[str] = []
    untold: list[str] = []
    single: list[str] = []
    for path, file in sorted(inside.items()):
        name = file.name.lower()
        ending = next((each for each in PACKED if name.endswith(each)), None)
        if ending is None or UNUSED.fullmatch(name):
            continue
        stem = name.removesuffix(ending)
        at = bisect_left(names, stem)
        if stem in folders or (at < len(names) and names[at].startswith(stem)):
            continue
        if UNTOLD.fullmatch(stem):
            untold.append(path)
        elif ending == ".gz" and not stem.endswith((".h5", *SLIDE_EXTENSIONS)):
            single.append(path)  # molecular data of TCGA, thousands of files
        else:
            packed.append(path)
    found = []
    if packed:
        todo = "Nothing in them is looked at: unpack them."
        found.append(Finding("warning", f"still packed: {named(packed)}.", todo))
    told = [named(untold)] if untold else []
    if single:
        told.append(f"{len(single)} .gz of other kinds, such as {single[0]}")
    if told:
        what = f"archives: {'; '.join(told)}; what is not unpacked of them is not looked at."
        found.append(Finding("note", what))
    return found


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
