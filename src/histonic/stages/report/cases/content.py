"""The case list of a run: predictions, tissue and explanations of every patient, the most wrong first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from histonic.core.cohort import folder_name
from histonic.core.task import Task
from histonic.data.maps.remote.mirror import local_folder
from histonic.data.maps.shares import percent
from histonic.data.maps.store import thumbnail_path
from histonic.runs.documents import CohortPatient
from histonic.runs.run import Run
from histonic.stages.explain.record import Explanation
from histonic.stages.report.cases.document import Case, CaseList, CaseTarget, ListedTarget
from histonic.stages.report.cases.ranking import counted_words, order_words, rank_targets

PAGE_PATIENTS = 300
"""Patients on a page of the list; the first page is the report itself."""


def list_cases(
    run: Run,
    shares: Mapping[str, float],
    explained: Mapping[tuple[str, str], str],
) -> CaseList:
    """Everyone who was predicted.

    Args:
        run: The run.
        shares: Share of tissue per slide_id, 0 to 1, as far as it is known.
        explained: By target and slide_id, where the explanation lies: see :func:`explained_files`.

    Raises:
        TableError: A table of predictions is damaged.
    """
    ranked = {task.name: rank_targets(run.tables[task.name]) for task in run.tasks}
    cases = []
    for patient in run.cohort.patients:
        targets = [
            _linked(ranked[task.name][patient.patient_id], patient, explained)
            for task in run.tasks
            if patient.patient_id in ranked[task.name]
        ]
        if targets:
            cases.append(_case(run, patient, targets, shares))
    first = {task.name: place for place, task in enumerate(run.tasks)}

    def most_wrong_first(case: Case) -> tuple[int, float, str]:
        leading = min(case.targets, key=lambda each: first[each.target])
        return first[leading.target], -leading.order, case.patient_id

    cases.sort(key=most_wrong_first)
    return CaseList(
        targets=tuple(_listed(task, list(ranked[task.name].values())) for task in run.tasks),
        cases=tuple(cases),
        explained=sum(any(each.explanation for each in case.targets) for case in cases),
    )


def explained_files(
    records: Sequence[Explanation], folder: str, bundle: str, shown: Mapping[str, str]
) -> dict[tuple[str, str], str]:
    """Where the explanation of each target and slide lies, of those that explain the networks of the run.

    Args:
        records: What was explained by one method.
        folder: Of that method, in the run, such as ``explain/integrated-gradients``.
        bundle: Hash of the run's ``bundle.json``.
        shown: Places on the page by the folder of the explanation.

    Returns:
        An address relative to the report, or ``#place`` on the page.
    """
    found = {}
    for record in records:
        usual = record.unseen and record.inputs.output is None and not record.inputs.by_path
        if not usual or record.inputs.bundle != bundle:
            continue
        own = f"{folder}/{record.target}/{folder_name(record.slide_id)}"
        place = shown.get(own, "")
        found[record.target, record.slide_id] = f"#{place}" if place else quote(f"{own}/overlay.png")
    return found


def _linked(
    target: CaseTarget, patient: CohortPatient, explained: Mapping[tuple[str, str], str]
) -> CaseTarget:
    places = [explained.get((target.target, slide), "") for slide in patient.slide_ids]
    return target.model_copy(update={"explanation": next((each for each in places if each), "")})


def _case(
    run: Run, patient: CohortPatient, targets: Sequence[CaseTarget], shares: Mapping[str, float]
) -> Case:
    known = [shares[slide] for slide in patient.slide_ids if slide in shares]
    pictured = [
        slide
        for slide in patient.slide_ids
        if run.thumbnail(slide).is_file() or thumbnail_path(local_folder(run.facts.store), slide).is_file()
    ]
    return Case(
        patient_id=patient.patient_id,
        site=patient.site,
        slide_ids=patient.slide_ids,
        pictured=pictured[0] if pictured else "",
        tissue=min(known) if known else None,
        tissue_words=_tissue_words(known, len(patient.slide_ids)),
        targets=tuple(targets),
    )


def _tissue_words(shares: Sequence[float], slides: int) -> str:
    """The shares of tissue of a patient's slides.

    Example:
        >>> _tissue_words([0.231], 1), _tissue_words([0.1, 0.4], 2), _tissue_words([], 1)
        ('tissue 23 % of the slide', 'tissue 10 % to 40 % of 2 slides', 'share of tissue not known')
        >>> _tissue_words([1.0], 1), _tissue_words([0.99, 1.0], 2)
        ('tissue 100 % of the slide', 'tissue 99 % to 100 % of 2 slides')
    """
    if not shares:
        return "share of tissue not known"
    low, high = (percent(each) for each in (min(shares), max(shares)))
    several = "the slide" if slides == 1 else f"{slides} slides"
    return f"tissue {low if low == high else f'{low} to {high}'} of {several}"


def _listed(task: Task, found: Sequence[CaseTarget]) -> ListedTarget:
    return ListedTarget(
        name=task.name,
        kind=task.kind,
        label=task.name.replace("_", " "),
        order_words=order_words(task),
        counted=counted_words(task, found),
        classes=tuple(task.classes) if task.is_classification else (),
    )
