"""CAMELYON17's table of stages: patients of five slides, and slides, under one header; and its pN stages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from histonic.core.errors import TableError
from histonic.data.tables.files import read_table
from histonic.data.tables.identifiers import ARCHIVES, bare_identifier
from histonic.data.tables.issues import list_names

STAGES = ("pN0", "pN0(i+)", "pN1mi", "pN1", "pN2")
"""In rising order."""
NODE_LABELS = ("negative", "itc", "micro", "macro")
"""What a slide shows at most: nothing, isolated tumour cells, a micrometastasis, a macrometastasis."""
COLUMNS = ("patient_id", "slide_id", "stage", "node", "center")
PATIENTS_OF_A_CENTER, TRAINING_PATIENTS = 20, 100


@dataclass(frozen=True)
class StageLabels:
    """What the table says.

    Attributes:
        stages: pN stage of each patient.
        nodes: Label of each slide.
        patients: Patient of each slide.
    """

    stages: Mapping[str, str]
    nodes: Mapping[str, str]
    patients: Mapping[str, str]

    def rows(self) -> list[dict[str, str]]:
        """One row a slide with :data:`COLUMNS`, sorted; the centre is empty where it is not known."""
        return [
            {
                "patient_id": patient,
                "slide_id": slide,
                "stage": self.stages[patient],
                "node": self.nodes[slide],
                "center": center_of(patient),
            }
            for slide, patient in sorted(self.patients.items())
        ]

    def doubts(self) -> list[str]:
        """Patients whose stage is not the one that follows from their slides, in words."""
        found = []
        for patient, stage in sorted(self.stages.items()):
            labels = [self.nodes[slide] for slide, own in self.patients.items() if own == patient]
            if labels and stage_of_nodes(labels) != stage:
                found.append(f"{patient} is {stage}, its slides make {stage_of_nodes(labels)}")
        return found


def read_stage_labels(path: str | Path) -> StageLabels:
    r"""Part the two kinds of rows of ``stage_labels.csv`` (columns patient and stage).

    Rows such as ``patient_000.zip,pN0`` are of patients, rows such as ``patient_000_node_0.tif,negative`` of
    slides. The patients are artificial: their five slides were put together from different people, so that
    a split by patient follows the challenge, and only one by centre parts hospitals.

    Args:
        path: The table.

    Raises:
        TableError: It has other columns; a row is of neither kind, stands there twice or has another word
            than :data:`STAGES` or :data:`NODE_LABELS`; a slide's patient has no row.

    Example:
        >>> import tempfile
        >>> text = "patient,stage\npatient_021.zip,pN0(i+)\npatient_021_node_0.tif,itc\n"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "stage_labels.csv").write_text(text)
        ...     read_stage_labels(f"{folder}/stage_labels.csv").rows()[0]["center"]
        '1'
    """
    table = read_table(path)
    asked = f"Read the stages in {table.path}."
    names = {column.lower(): column for column in table.columns}
    if not {"patient", "stage"} <= set(names):
        raise TableError(
            asked,
            f"Its columns are {list_names(table.columns)}.",
            "Give CAMELYON17's stage_labels.csv, which has patient and stage.",
        )
    stages: dict[str, str] = {}
    nodes: dict[str, str] = {}
    owners: dict[str, str] = {}
    for row, name, word in zip(
        table.frame.index, table.frame[names["patient"]], table.frame[names["stage"]], strict=True
    ):
        bare = bare_identifier(name)
        slide = re.fullmatch(r"(.+)_node_\d+", bare)
        is_patient = slide is None and name.lower().endswith(ARCHIVES)
        if not is_patient and slide is None:
            raise TableError(
                asked,
                f"Row {row} names {name!r}.",
                "It must be an archive (patient_000.zip) or a slide (patient_000_node_0.tif).",
            )
        words, into = (STAGES, stages) if is_patient else (NODE_LABELS, nodes)
        meant = {each.lower(): each for each in words}.get(word.lower())
        if meant is None:
            raise TableError(
                asked, f"Row {row} ({name}) says {word!r}.", f"It must be one of {', '.join(words)}."
            )
        if bare in into:
            raise TableError(asked, f"Row {row} names {name} again.", "Keep one of the rows.")
        into[bare] = meant
        if slide is not None:
            owners[bare] = slide[1]
    if without := sorted(set(owners.values()) - set(stages)):
        raise TableError(
            asked, f"Slides of {list_names(without)} have no row of their patient.", "Complete the table."
        )
    return StageLabels(stages, nodes, owners)


def stage_of_nodes(labels: Sequence[str]) -> str:
    """The pN stage of a patient from the labels of the slides, by the challenge's rule.

    With a macrometastasis, one to three slides with micro- or macrometastases make pN1, more pN2; without one
    a micrometastasis makes pN1mi, isolated cells alone pN0(i+). Isolated cells never count as positive.

    Args:
        labels: Of :data:`NODE_LABELS`.

    Example:
        >>> stage_of_nodes(["micro"] * 4 + ["itc"]), stage_of_nodes(["macro", "micro", "micro", "itc"])
        ('pN1mi', 'pN1')
    """
    positive = sum(label in ("micro", "macro") for label in labels)
    if "macro" in labels:
        return "pN1" if positive <= 3 else "pN2"
    if positive:
        return "pN1mi"
    return "pN0(i+)" if "itc" in labels else "pN0"


def center_of(patient: str) -> str:
    """The centre of a training patient: twenty follow one another; empty for others, where it is not stated.

    Example:
        >>> center_of("patient_000"), center_of("patient_099"), center_of("patient_100")
        ('0', '4', '')
    """
    number = re.fullmatch(r"patient_(\d+)", patient)
    known = number is not None and int(number[1]) < TRAINING_PATIENTS
    return str(int(number[1]) // PATIENTS_OF_A_CENTER) if number is not None and known else ""
