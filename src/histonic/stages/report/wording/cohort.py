"""How the cohort was divided, and what of it could be scored, in sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from histonic.aggregators.base import is_fitted
from histonic.core.errors import SettingsError
from histonic.runs.documents import FIRST_LOOK, CohortCounts, RunDocument
from histonic.stages.report.document.sections import ChosenSettings
from histonic.stages.report.wording.words import counted, joined


def opening(counts: CohortCounts, labels: Sequence[str], run: RunDocument) -> str:
    """The head of the page: what was done."""
    return (
        f"{counted(counts.slides_used, 'slide')} of {counted(counts.patients_used, 'patient')} were "
        f"used to predict {joined(labels)} from the slides "
        f"alone. {split_words(run)} The intervals say how far the result would vary with other "
        "patients." + (f" {FIRST_LOOK}" if run.quick else "")
    )


def split_words(run: RunDocument) -> str:
    """How patients were kept apart."""
    if run.split == "fixed":
        return (
            "The label table says which patients train and which are tested; those that are tested took no "
            "part in training."
        )
    if run.split == "given folds":
        return (
            f"The label table says who trains, who validates and who is tested in each of {run.folds} folds; "
            "no patient was predicted by networks that had seen that patient."
        )
    parts = f"{run.folds} parts" + (" that keep every site whole" if run.split == "site" else "")
    often = f", {run.repeats} times anew," if run.repeats > 1 else ""
    never = " nor the patient's site" if run.split == "site" else ""
    return (
        f"The patients were divided into {parts}{often} and every patient was predicted by networks that had "
        f"never seen that patient{never}."
    )


def fitted_of(run: RunDocument, search: Sequence[ChosenSettings] = ()) -> Literal["all", "some", "none"]:
    """Which networks of a run are heads that were fitted at once: those of aggregators without weights.

    Args:
        run: The run.
        search: What each fold chose, where settings were searched; folds may differ in the aggregator.
    """
    chosen = [re.search(r"(?:^|, )aggregator ([^,]+)", each.chosen) for each in search]
    names = {each[1] for each in chosen if each} or {run.aggregator}
    fitted = [_is_known_fitted(name) for name in names]
    return "all" if all(fitted) else "some" if any(fitted) else "none"


def _is_known_fitted(aggregator: str) -> bool:
    try:
        return is_fitted(aggregator)
    except SettingsError:
        return False  # of a package, or of a session, that is not here: such have weights


_FITTED_TOGETHER = (
    "the heads were fitted to training and validation patients together, with a penalty from a "
    "cross-validation among them"
)


def stopping_words(run: RunDocument, search: Sequence[ChosenSettings] = ()) -> str:
    """What validation patients did in the training, as a clause.

    Example:
        >>> from types import SimpleNamespace
        >>> stopping_words(SimpleNamespace(aggregator="convnet"))
        'validation patients decided when training stopped'
    """
    stopped = "validation patients decided when training stopped"
    fitted = fitted_of(run, search)
    if fitted == "some":
        return f"{stopped}; of aggregators without weights {_FITTED_TOGETHER}"
    return _FITTED_TOGETHER if fitted == "all" else stopped


def folds_words(
    run: RunDocument, used: int, tested: int, without: int = 0, search: Sequence[ChosenSettings] = ()
) -> str:
    """How the folds of the tables below came about."""
    fitted = fitted_of(run, search)
    if run.split == "fixed":
        how = {
            "all": f"of the rest {_FITTED_TOGETHER}",
            "some": f"the rest trained the networks and decided when training stopped; of aggregators "
            f"without weights {_FITTED_TOGETHER}",
            "none": "the rest trained the networks and decided when training stopped",
        }[fitted]
        return (
            f"{counted(tested, 'patient')} of {used} were set aside by the label table and predicted; {how}. "
            "The tables count the tested ones."
        )
    if run.split == "given folds":
        rest = f"; {used - tested} of {used} are tested in none" if tested < used else ""
        absent = (
            f" {counted(without, 'patient')} had no part in some of the folds (cohort.json names them)."
            if without
            else ""
        )
        return (
            f"The label table says who trains, who validates and who is tested in each of {run.folds} folds"
            f"{rest}. Where it names nobody who validates, a fifth of those who train did.{absent}"
            + (f" {stopping_words(run, search).capitalize()}." if fitted != "none" else "")
        )
    how = {
        "site": "every site lies in one part, so that no network was tested on a site it had seen",
        "given parts": "the label table says who is in which",
    }.get(run.split, "they are alike in targets and sites as far as possible")
    first = " The tables show the first of the repeats." if run.repeats > 1 else ""
    learned = {
        "all": f"and of the others {_FITTED_TOGETHER}",
        "some": "another one decided when training stopped, and the networks learned from the rest; of "
        f"aggregators without weights {_FITTED_TOGETHER}",
        "none": "another one decided when training stopped, and the networks learned from the rest",
    }[fitted]
    return (
        f"The patients were divided into {run.folds} parts; all slides of a patient are in the same part, "
        f"and {how}. In turn each part was set aside and predicted (its fold), {learned}.{first}"
    )


def search_words(run: RunDocument, search: Sequence[ChosenSettings]) -> str:
    """How many combinations each fold tried, by what one was kept, and whether all folds agree.

    Args:
        run: The run.
        search: What each fold chose; one at least.
    """
    networks = "the lowest loss of validation patients that its networks reached"
    heads = (
        "the lowest loss of validation patients that any penalty of its heads reached, in the "
        "cross-validation among training and validation patients by which they are fitted"
    )
    reached = {
        "none": networks,
        "all": heads,
        "some": f"{networks} (of aggregators without weights, {heads})",
    }[fitted_of(run, search)]
    tried = f"In each fold {search[0].tried} combinations were tried, and the one with {reached} was kept"
    differ = " The folds do not agree: these patients do not settle the choice." if search[0].differ else ""
    return f"{tried}; tested patients had no say.{differ}"


def missing_words(used: int, n: int) -> str:
    """How many of the patients a target's label is missing for; empty if none."""
    if n == used:
        return ""
    verb = "has" if used - n == 1 else "have"
    return (
        f"{used - n} of {counted(used, 'patient')} {verb} no value for this target in the label table and "
        "cannot be scored here."
    )
