"""A label table joined with the maps of a store into a cohort of patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from histonic.core.cohort import Cohort, Exclusion, Patient
from histonic.core.errors import CohortError
from histonic.core.task import EventCodes, EventMeaning, TargetRequest, Task
from histonic.data.tables.issues import Issue, gather, list_names, raise_first
from histonic.data.tables.joins import (
    SlideJoin,
    fitting_column,
    given_roles,
    given_turns,
    join_slides,
    number_folds,
    patient_sites,
    slide_exclusions,
    table_patients,
)
from histonic.data.tables.label_table import LabelTable, read_labels
from histonic.data.targets.checks import alike_patients, check_labels, one_outcome
from histonic.data.targets.coding import positive_doubt, target_coding
from histonic.data.targets.doubts import value_doubts
from histonic.data.targets.follow_up import follow_up_issues
from histonic.data.targets.targets import (
    join_patients,
    make_task,
    patient_causes,
    read_targets,
    unused_by_targets,
)

__all__ = ["Issue", "LabelTable", "build_cohort", "check_labels", "read_labels"]


def build_cohort(
    table: LabelTable,
    requests: Sequence[TargetRequest],
    slide_ids: Sequence[str],
    *,
    event_coding: EventCodes = "event",
    event_of_interest: Sequence[str] = (),
    varied: bool = True,
) -> Cohort:
    r"""Join labels and maps: patients with their maps, targets, sites and folds, and who was left out.

    A patient's rows must agree on a target; an empty cell is no disagreement. A missing target stays
    missing. Left out, with the reason: patients without a map or without any target, maps that no row
    names, and named slides without a map.

    Args:
        table: From :func:`read_labels`.
        requests: The targets; a kind left open is inferred, see
            :func:`histonic.data.targets.targets.read_target`.
        slide_ids: Names of the maps in the store.
        event_coding: What the codes of event columns mean; ``censored``: 1 marks the censored.
        event_of_interest: ``CODE`` or ``TARGET=CODE``: the event, where others are competing causes.
        varied: Refuse a target that does not vary, or whose classes have no certain order; patients who are
            only to be tested may be all of a kind, and their classes have the order of the run.

    Returns:
        The cohort, sorted by patient. A patient with slides from several sites has their names joined by +.

    Raises:
        TableError: A column is absent or a cell cannot be used; rows of a patient disagree; a slide
            could belong to two patients.
        CohortError: Nobody is left, all patients have the same class or no event, or a patient has no fold.

    Example:
        >>> import tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "labels.csv"
        >>> _ = file.write_text("patient_id,slide_id,msi\nP1,a,yes\nP1,b,\nP2,c,no\nP3,d,no\n")
        >>> cohort = build_cohort(read_labels(file), [TargetRequest("msi")], ["a", "b", "c"])
        >>> cohort.tasks[0].classes, cohort.patients[0].slide_ids, cohort.exclusions[0].name
        (('no', 'yes'), ('a', 'b'), 'P3')
    """
    meant: EventMeaning = {"event_coding": event_coding, "event_of_interest": event_of_interest}
    targets = read_targets(table, requests, **meant)
    raise_first(issue for target in targets for issue in target.issues)
    if varied:  # an external cohort is read with the spellings of the run, which it need not have
        raise_first(unused_by_targets(table, targets))
    joined = [join_patients(table, target) for target in targets]
    raise_first(issue for _, issues in joined for issue in issues)
    join = join_slides(table, slide_ids)
    raise_first(join.issues)
    labelled = {patient for values, _ in joined for patient in values}
    used = [patient for patient, slides in join.slides.items() if slides and patient in labelled]
    turns = given_turns(table, used)
    unused = set() if not turns else set(used).difference(*turns)
    used = [patient for patient in used if patient not in unused]
    if not used:
        raise _nobody(table, join, slide_ids, labelled)
    sites = patient_sites(table)
    causes = {target.request.name: patient_causes(table, target) for target in targets if target.causes}
    tasks, encoded, codings = [], [], {}
    doubts = [issue for target in targets for issue in target.issues]
    if varied:
        doubts += alike_patients(table, used)
    for target, (values, _) in zip(targets, joined, strict=True):
        task, numbers = make_task(table, target, {p: values[p] for p in used if p in values}, sure=varied)
        if varied or not numbers:
            raise_first(one_outcome(table, task, numbers.values()))
        doubts += value_doubts(table, target, task, numbers)
        follow_up = follow_up_issues(table, target, numbers)
        raise_first(follow_up)
        doubts += follow_up
        if varied:
            doubts += positive_doubt(table, target.request, task)
        if varied or task.kind == "survival":  # classes of another cohort are taken as the run has them
            codings[task.name] = target_coding(table, target.request, task, **meant)
        tasks.append(task)
        encoded.append(numbers)
    return Cohort(
        tuple(tasks),
        tuple(_patient(join, sites, tasks, encoded, patient, causes) for patient in used),
        (*_patient_exclusions(table, join, labelled, unused), *slide_exclusions(join, used)),
        number_folds(table, used),
        turns[0] if len(turns) == 1 else given_roles(table, used),
        (*table.notes, *(f"{each.what}: {each.where}. {each.found} {each.todo}" for each in gather(doubts))),
        codings,
        turns if len(turns) > 1 else (),
    )


def _patient(
    join: SlideJoin,
    sites: Mapping[str, str],
    tasks: Sequence[Task],
    encoded: Sequence[Mapping[str, float | tuple[float, float]]],
    patient: str,
    causes: Mapping[str, Mapping[str, str]],
) -> Patient:
    targets = {
        task.name: numbers[patient]
        for task, numbers in zip(tasks, encoded, strict=True)
        if patient in numbers
    }
    mine = {name: found[patient] for name, found in causes.items() if patient in found}
    return Patient(patient, join.slides[patient], sites[patient], targets, mine)


def _patient_exclusions(
    table: LabelTable, join: SlideJoin, labelled: set[str], unused: set[str]
) -> list[Exclusion]:
    found = []
    for patient in table_patients(table):
        if not join.slides[patient]:
            named = join.absent.get(patient, ())
            reason = "the store holds no map" + (f" of {list_names(named)}" if named else "")
            found.append(Exclusion("patient", patient, reason))
        elif patient not in labelled:
            found.append(Exclusion("patient", patient, "every target is missing"))
        elif patient in unused:
            reason = "the official split has no part for this patient"
            found.append(Exclusion("patient", patient, reason))
    return found


def _nobody(table: LabelTable, join: SlideJoin, slide_ids: Sequence[str], labelled: set[str]) -> CohortError:
    """Why no patient is left, with a name from each side."""
    asked = f"Join {table.path.name} with the {len(slide_ids)} maps of the store."
    if any(join.slides.values()):
        return CohortError(
            asked, "Every patient with a map lacks every target.", "Fill in the targets, or choose others."
        )
    fitting = fitting_column(table, slide_ids) or "--columns slide_id=COLUMN"
    names = [slide for slides in join.absent.values() for slide in slides] or sorted(labelled)
    return CohortError(
        asked,
        f"No name fits: the table says for instance {list_names(names[:2])}, "
        f"the store {list_names(sorted(slide_ids)[:2]) or 'nothing'}.",
        f"Name the column that holds the slide names: {fitting}.",
    )
