"""Miniatures of the challenges on whole slides: names, headers and codes are the organisers' own."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

import numpy as np

from histonic.core.files import write_text
from histonic.simulate.challenges.images import (
    LABELS,
    Subject,
    subject,
    write_picture,
    write_svs,
    write_tiff,
)
from histonic.simulate.patients import Latents

TUPAC_TRAINED, TUPAC_TESTED = 12, 3
SMALL_PX = 512
"""Of a slide: four cells of the shipped encoder."""


def write_tupac16(out: Path, seed: int = 0) -> None:
    """12 training and 3 test slides; labels without header or names, one file of regions."""
    rng = np.random.default_rng([seed, LABELS])
    rows = []
    for number in range(1, TUPAC_TRAINED + 1):
        drawn = subject(seed, number)
        proliferation = drawn.latents.proliferation
        # Each score occurs four times, whatever was drawn.
        rows.append((proliferation, f"{2 * proliferation - 1 + rng.normal(0, 0.1):.9f}"))
        write_svs(out / "training_image_data" / f"TUPAC-TR-{number:03d}.svs", drawn)
    order = np.argsort(np.argsort([value for value, _ in rows])) * 3 // len(rows)
    lines = [f"{1 + rank},{molecular}" for rank, (_, molecular) in zip(order, rows, strict=True)]
    write_text(out / "training_ground_truth.csv", "\n".join(lines) + "\n")
    write_text(out / "ROI" / "TUPAC-TR-001-ROI.csv", "100,120,200,180\n330,90,150,150\n")
    for number in range(1, TUPAC_TESTED + 1):
        path = out / "testing_image_data" / f"TUPAC-TE-{number:03d}.svs"
        write_svs(path, subject(seed, 1000 + number))


ASAP = """<?xml version="1.0"?>
<ASAP_Annotations>
	<Annotations>
		<Annotation Name="Annotation 0" Type="Polygon" PartOfGroup="{group}" Color="#F4FA58">
			<Coordinates>
{corners}
			</Coordinates>
		</Annotation>
	</Annotations>
	<AnnotationGroups>
		<Group Name="{group}" PartOfGroup="None" Color="#00ff00"><Attributes /></Group>
	</AnnotationGroups>
</ASAP_Annotations>
"""


def drawn_box(left: int, top: int, right: int, bottom: int, group: str) -> str:
    """ASAP's XML of one rectangle, drawn as a polygon; corners are level-0 pixels."""
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    lines = [f'\t\t\t\t<Coordinate Order="{k}" X="{x}" Y="{y}" />' for k, (x, y) in enumerate(corners)]
    return ASAP.format(group=group, corners="\n".join(lines))


def write_camelyon16(out: Path, seed: int = 0) -> None:
    """GigaDB's layout: 6 normal and 6 tumour slides, 4 test slides, half of them with a metastasis."""
    for number in range(1, 7):
        for kind, stream in (("normal", 0), ("tumor", 100)):
            path = out / "training" / kind / f"{kind}_{number:03d}.tif"
            write_tiff(path, _node(seed, stream + number, kind == "tumor"), side_px=SMALL_PX)
        text = drawn_box(100, 120, 380, 300, "_0")
        write_text(out / "training" / "lesion_annotations" / f"tumor_{number:03d}.xml", text)
    rows = []
    for number in range(1, 5):
        tumour = number % 2 == 0
        path = out / "testing" / "images" / f"test_{number:03d}.tif"
        write_tiff(path, _node(seed, 200 + number, tumour), side_px=2 * SMALL_PX)
        rows.append(f"test_{number:03d},{'Tumor' if tumour else 'Normal'}")
        if tumour:
            text = drawn_box(150, 300, 850, 620, "_0")
            write_text(out / "testing" / "lesion_annotations" / f"test_{number:03d}.xml", text)
    write_text(out / "testing" / "reference.csv", "\n".join(rows) + "\n")


def _node(seed: int, number: int, tumour: bool, site: int = 0) -> Subject:
    """More nuclei in nests where there is a metastasis."""
    drawn = subject(seed, number, site)
    level = 0.9 if tumour else 0.1
    return Subject(Latents(level, 1 - level, drawn.latents.layout), drawn.site, drawn.rng)


def write_camelyon17(out: Path, seed: int = 0) -> None:
    """One patient of each of four centres and one test patient, five nodes each."""
    classes = ("negative", "itc", "micro", "macro")
    rows, place = [], 0
    stages = {0: "pN1", 20: "pN1", 40: "pN1", 60: "pN1"}
    for patient in (0, 20, 40, 60, 100):
        name = f"patient_{patient:03d}"
        folder = out / "training" / f"center_{patient // 20}" if patient < 100 else out / "testing"
        if patient in stages:
            rows.append(f"{name}.zip,{stages[patient]}")
        for node in range(5):
            kind = classes[(node + 1) % 4] if patient < 100 else classes[node % 4]
            drawn = _node(seed, 300 + place, kind in ("micro", "macro"), patient // 20)
            write_tiff(folder / name / f"{name}_node_{node}.tif", drawn, side_px=SMALL_PX)
            if patient < 100:
                rows.append(f"{name}_node_{node}.tif,{kind}")
            place += 1
    write_text(out / "training" / "stage_labels.csv", "\n".join(["patient,stage", *rows]) + "\n")
    text = drawn_box(100, 120, 380, 300, "metastases")
    write_text(out / "training" / "lesion_annotations" / "patient_000_node_1.xml", text)


def write_panda(out: Path, seed: int = 0) -> None:
    """Twelve biopsies of two providers, two of each grade, with the label masks of one."""
    gleason = {0: ("negative", "0+0"), 1: ("3+3",) * 2, 2: ("3+4",) * 2}
    gleason |= {3: ("4+3",) * 2, 4: ("4+4",) * 2, 5: ("4+5",) * 2}
    rows = []
    for number in range(12):
        provider, grade = number % 2, number // 2
        name = hashlib.md5(f"{seed} {number}".encode(), usedforsecurity=False).hexdigest()
        drawn = subject(seed, 400 + number, provider)
        level = Latents(0.1 + 0.16 * grade, 0.9 - 0.16 * grade, drawn.latents.layout)
        write_tiff(
            out / "train_images" / f"{name}.tiff",
            Subject(level, drawn.site, drawn.rng),
            side_px=SMALL_PX,
        )
        rows.append(f"{name},{('radboud', 'karolinska')[provider]},{grade},{gleason[grade][provider]}")
        if number < 10:
            mask = np.zeros((SMALL_PX, SMALL_PX, 3), np.uint8)
            mask[200:300, 200:300, 0] = (3 if provider == 0 else 2) if grade else 1
            write_picture(out / "train_label_masks" / f"{name}_mask.tiff", mask)
    head = "image_id,data_provider,isup_grade,gleason_score"
    write_text(out / "train.csv", "\n".join([head, *rows]) + "\n")
    hidden = hashlib.md5(f"{seed} hidden".encode(), usedforsecurity=False).hexdigest()
    write_text(out / "test.csv", f"image_id,data_provider\n{hidden},karolinska\n")
    write_text(out / "sample_submission.csv", f"image_id,isup_grade\n{hidden},0\n")


def write_tcga_survival(out: Path, seed: int = 0) -> None:
    """Fifteen patients, each file in a folder as GDC's client leaves it; the clinical table of old."""
    rng = np.random.default_rng([seed, LABELS])
    rows = []
    columns = ("case_id", "case_submitter_id", "project_id", "age_at_index", "vital_status", "days_to_death")
    for number in range(15):
        patient = f"TCGA-{('2Z', 'A3', 'BQ')[number % 3]}-A{number:03d}"
        drawn = subject(seed, 500 + number, number % 3)
        dead = number % 4 != 0
        days = int(rng.exponential(1500 * np.exp(1 - 3 * drawn.latents.proliferation))) + 30
        status, death, last = ("Dead", str(days), "'--") if dead else ("Alive", "'--", str(days))
        case = str(uuid.UUID(int=number + 1))
        row = [case, patient, "TCGA-KIRP", str(50 + number), status, death, last]
        rows += ["\t".join([*row, treatment]) for treatment in ("Pharmaceutical", "Radiation")]
        kinds = ["01Z-00-DX1"] + ["01Z-00-DX2"] * (number == 1) + ["01A-01-TS1"] * (number == 2)
        for place, kind in enumerate([*kinds, *["11A-01-TS1"] * (number == 3)]):
            unique = str(uuid.UUID(int=1000 + 10 * number + place)).upper()
            folder = str(uuid.UUID(int=5000 + 10 * number + place))
            own = Subject(drawn.latents, drawn.site, np.random.default_rng([seed, number, place]))
            write_svs(out / folder / f"{patient}-{kind}.{unique}.svs", own, side_px=SMALL_PX)
    head = "\t".join([*columns, "days_to_last_follow_up", "treatment_type"])
    write_text(out / "clinical.tsv", "\n".join([head, *rows]) + "\n")


def write_liver(out: Path, seed: int = 0) -> None:
    """A table of eighteen patients, each third with two slides: growth pattern, time and event."""
    rng = np.random.default_rng([seed, LABELS])
    rows = []
    for number in range(18):
        drawn = subject(seed, 600 + number, number % 2)
        layout = 0.85 if number % 2 else 0.15
        months = rng.exponential(40 * np.exp(1 - 2 * drawn.latents.proliferation)) + 0.5
        pattern = "desmoplastic" if number % 2 else "other"
        for slide in range(1 + (number % 3 == 0)):
            name = f"L{number + 1:02d}-{slide + 1}"
            own = Latents(drawn.latents.proliferation, drawn.latents.differentiation, layout)
            stream = np.random.default_rng([seed, 600 + number, slide])
            write_tiff(out / "slides" / f"{name}.tif", Subject(own, drawn.site, stream), side_px=SMALL_PX)
            event = int(number % 4 != 1)
            rows.append(f"{name},L{number + 1:02d},hospital {number % 2 + 1},{pattern},{months:.1f},{event}")
    head = "slide_id,patient_id,site,growth_pattern,os_time,os_event"
    write_text(out / "cohort.csv", "\n".join([head, *rows]) + "\n")
