"""A public challenge, from the organisers' own files to a submission or a score."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Unpack, cast

from histonic.core.claims import sole_owner
from histonic.core.errors import CohortError, SettingsError
from histonic.core.files import require_writable_folder
from histonic.core.notebooks.results import Result
from histonic.core.progress import Progress, heard
from histonic.core.settings import resolve
from histonic.stages.study.frame.cases import Survey
from histonic.stages.study.frame.examined import label_findings, packed_files, unusable_files
from histonic.stages.study.frame.files import all_files
from histonic.stages.study.frame.plan import Outcome, Place, Recipe, entered, write_settings
from histonic.stages.study.frame.settings import RecipeKeywords, RecipeSettings
from histonic.stages.study.steps.step import Step

RECIPES: Mapping[str, str] = {
    "tupac16": "tupac16",
    "camelyon16": "camelyon16",
    "camelyon17": "camelyon17",
    "panda": "panda",
    "patchcamelyon": "patchcamelyon",
    "nct-crc": "nct_crc",
    "bach": "bach",
    "breakhis": "breakhis",
    "midog": "midog",
    "tcga-survival": "tcga_survival",
    "liver": "liver",
}
"""Name to module in ``recipes/``."""


@dataclass(repr=False)
class RecipeResult(Result):
    """What a recipe did.

    Attributes:
        found: What the folder was recognised as.
        commands: Of the steps, in order; none with ``check``.
        outcome: Submission and scores; empty unless it was run.
    """

    found: Survey
    commands: list[str] = field(default_factory=list)
    outcome: Outcome = field(default_factory=Outcome)


def recipe(
    settings: RecipeSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[RecipeKeywords],
) -> RecipeResult:
    """Look at the organisers' files, write tables and settings, and with ``run`` do it all.

    Everything that was recognised, and what is missing, doubled or extra, is said before anything is written.
    A run goes on where it stopped: maps, networks and predictions that are finished are not made again.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``name="tupac16"``, ``data="tupac"``, ``out="study"``.

    Raises:
        SettingsError: A setting is wrong, there is no such recipe, or the folder is empty.
        CohortError: Files are missing or doubled, or there is nothing to train on.
        TableError: A table of the organisers is not as they wrote it; row and column are named.
        RunError: A test case has no prediction.
        OutputError: The folder cannot be written.
    """
    resolved = resolve(RecipeSettings, settings, values)
    listener = heard(progress)
    chosen = find_recipe(resolved.name)
    entered(resolved, chosen.TARGETS)
    found = chosen.survey(resolved)
    cases, unusable = unusable_files(found.cases, allowed=resolved.allow_missing)
    packed = packed_files(resolved.data, all_files(resolved.data))
    found = replace(found, cases=tuple(cases), findings=(*found.findings, *packed, *unusable))
    for line in found.lines():
        listener.say(line)
    _require_usable(resolved, found)
    place = Place(resolved.out.resolve())
    steps = chosen.steps(resolved, found, place)
    labels = label_findings(resolved.name, found.used("train"), steps)
    for each in labels:
        listener.say(each.line())
    found = replace(found, findings=(*found.findings, *labels))
    _require_usable(resolved, found)
    result = RecipeResult(found)
    if resolved.check:
        return result
    require_writable_folder(place.out)
    with sole_owner(place.out, f"Work on {resolved.name} in {place.out}."):
        chosen.write_inputs(resolved, found, place)
        result.commands = write_settings(place, resolved, steps)
        if resolved.run:
            result.outcome = _run(chosen, resolved, found, place, steps, listener)
    return result


def find_recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        SettingsError: There is none.

    Example:
        >>> find_recipe("tupac16").TARGETS
        ('score', 'molecular')
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name.lower(), RECIPES, n=1)
        raise SettingsError(
            f"Follow the recipe {name!r}.",
            "There is no such recipe.",
            f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(RECIPES)}.",
        )
    return cast(Recipe, importlib.import_module(f"histonic.stages.study.recipes.{RECIPES[name]}"))


def _require_usable(settings: RecipeSettings, found: Survey) -> None:
    asked = f"Follow the recipe {settings.name} in {settings.data}."
    if found.errors:
        first = found.errors[0]
        more = f" ({len(found.errors)} such problems)" if len(found.errors) > 1 else ""
        raise CohortError(asked, f"{first.what}{more}", first.todo or "Look at the lines above.")
    if not found.used("train"):
        raise CohortError(
            asked, "There is no case to train on.", "Give the folder with the challenge's own files."
        )


def _run(
    chosen: Recipe,
    settings: RecipeSettings,
    found: Survey,
    place: Place,
    steps: list[Step],
    progress: Progress,
) -> Outcome:
    # Late: of these torch takes seconds to load, and a check needs none of it.
    from histonic.stages.study.estimates import compress_estimate, train_estimate
    from histonic.stages.study.steps.running import run_step

    progress.say("time, as far as it can be told now:")
    for step in steps:
        if step.verb == "compress":
            progress.say(f"  {compress_estimate(step)}")
    if not any(step.verb == "compress" for step in steps):
        progress.say("  tiles are not measured before: the progress tells the time left")
    for number, step in enumerate(steps, start=1):
        progress.say(f"step {number} of {len(steps)}: {step.words}")
        if step.verb == "train":
            progress.say(f"  {train_estimate(step)}")
        run_step(place.out, step, progress)
    return chosen.finish(settings, found, place, progress)
