"""What would stop a recipe after hours of compute, looked at before: empty files, archives, labels."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from histonic.core.places.frames import NAME, FrameTable
from histonic.data.names import SLIDE_EXTENSIONS
from histonic.data.targets.checks import examine_labels
from histonic.stages.study.frame.cases import Case, Finding, named, table_of
from histonic.stages.study.frame.settings import RecipeSettings
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

OWN_LABELS = ("liver",)
"""Recipes whose labels are the user's own, as they were written."""
KNOWN_BY_RECIPES = ("Classes that may be one", "Events that look censored")
"""Doubts in labels that other recipes make: they know micro from macro, death from the last contact."""
ELSEWHERE = "That is an option of 'histonic train'; here correct the cells if they are wrong."


def unusable_files(cases: Sequence[Case], *, allowed: bool) -> tuple[list[Case], list[Finding]]:
    """Files of cases in use that are links to nowhere, cannot be read, or are empty as a broken download is.

    Args:
        cases: All of the recipe.
        allowed: Whether the recipe goes on without what a link to nowhere should be.

    Returns:
        The cases, those of allowed links to nowhere left out, and what was found.
    """
    absent: set[Path] = set()
    unread: list[str] = []
    empty: list[str] = []
    for path in sorted({case.path for case in cases if not case.left_out}):
        try:
            size = path.stat().st_size
        except OSError as error:
            if isinstance(error, FileNotFoundError) and path.is_symlink():
                absent.add(path)
            else:
                unread.append(f"{path} cannot be read: {error.strerror}")
            continue
        if not size:
            empty.append(str(path))
    found = []
    if absent:
        what = f"links to files that are not there: {named([str(path) for path in absent])}."
        if allowed:
            found.append(Finding("warning", what, "The recipe goes on without them."))
            cases = [
                replace(case, left_out="a link to a file that is not there")
                if case.path in absent and not case.left_out
                else case
                for case in cases
            ]
        else:
            todo = "Fetch what they point to, or go on without them: --allow-missing."
            found.append(Finding("error", what, todo))
    if unread:
        found.append(Finding("error", f"{named(unread)}.", "Mend what the system says, or take them out."))
    if empty:
        what = f"empty files: {named(empty)}."
        found.append(Finding("error", what, "Download them again, or take them out of the folder."))
    return list(cases), found


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


def label_findings(name: str, cases: Sequence[Case], steps: Sequence[Step]) -> list[Finding]:
    """What training would refuse of the labels, or find hard; nothing for recipes that train on no slides.

    Args:
        name: Of the recipe.
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
        if issue.what in KNOWN_BY_RECIPES and name not in OWN_LABELS:
            continue
        where = re.sub(r"\brow(s?)\b", r"slide\1", issue.where.removeprefix(f"{NAME}, "))
        what = f"labels, {where}: {issue.what}: {issue.found}"
        elsewhere = f" {ELSEWHERE}" if _names_foreign_option(issue.todo) else ""
        found.append(Finding(issue.severity, what, f"{issue.todo}{elsewhere}"))
    return found


def _names_foreign_option(todo: str) -> bool:
    """Whether advice names an option that 'histonic recipe' does not have."""
    options = {option.replace("-", "_") for option in re.findall(r"--([a-z][a-z-]*)", todo)}
    return not options <= set(RecipeSettings.model_fields)
