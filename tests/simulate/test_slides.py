"""A cohort on disk: the same bytes however it is made, kept when it is there, readable as slides."""

from __future__ import annotations

import csv
from pathlib import Path

import openslide
import pytest

from histonic.core.errors import SettingsError
from histonic.simulate.patients import draw_patients
from histonic.simulate.slides import CohortFiles, simulate_cohort

SIDE_PX = 320


class Listener:
    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None]] = []
        self.done = 0

    def stage(self, name: str, total: int | None = None) -> None:
        self.stages.append((name, total))

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.done += steps

    def say(self, line: str) -> None:
        pass


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> CohortFiles:
    out = tmp_path_factory.mktemp("cohort")
    return simulate_cohort(out, patients=5, seed=1, side_px=SIDE_PX, processes=1)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_two_processes_give_the_same_bytes(cohort: CohortFiles, tmp_path: Path) -> None:
    listener = Listener()
    simulate_cohort(tmp_path, patients=5, seed=1, side_px=SIDE_PX, processes=2, progress=listener)
    assert contents(tmp_path) == contents(cohort.slides_dir.parent)
    total = sum(len(patient.slide_ids) for patient in draw_patients(5, 1))
    assert listener.stages == [("simulate", total)] and listener.done == total


def test_finished_slides_are_kept_and_lost_ones_redrawn(tmp_path: Path) -> None:
    def make() -> CohortFiles:
        return simulate_cohort(tmp_path, patients=2, seed=1, side_px=SIDE_PX, processes=1, progress=listener)

    listener = Listener()
    slides = sorted(make().slides_dir.iterdir())
    drawn = slides[1].read_bytes()
    slides[0].write_bytes(b"kept")
    slides[1].unlink()
    listener = Listener()
    make()
    assert slides[0].read_bytes() == b"kept"
    assert slides[1].read_bytes() == drawn
    assert listener.done == len(slides)


def test_another_seed_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    simulate_cohort(tmp_path, patients=1, seed=1, side_px=SIDE_PX, processes=1)
    with pytest.raises(SettingsError, match="seed"):
        simulate_cohort(tmp_path, patients=1, seed=2, side_px=SIDE_PX, processes=1)


@pytest.mark.parametrize("wrong", [{"patients": 0}, {"seed": -1}, {"side_px": 100}, {"processes": 0}])
def test_numbers_that_cannot_be_used(wrong: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        simulate_cohort(tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_label_table_has_a_row_for_each_slide(cohort: CohortFiles) -> None:
    with cohort.labels_csv.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = "patient_id slide_id site grade proliferation_score os_months os_event"
    assert list(rows[0]) == columns.split()
    assert [row["slide_id"] for row in rows] == sorted(path.stem for path in cohort.slides_dir.glob("*.tif"))
    patient = draw_patients(5, 1)[0]
    assert rows[0]["grade"] == patient.grade and float(rows[0]["os_months"]) == patient.os_months
    with (cohort.labels_csv.parent / "truth.csv").open(encoding="utf-8", newline="") as file:
        truth = next(csv.DictReader(file))
    assert float(truth["layout"]) == pytest.approx(patient.latents.layout, abs=1e-6)


def test_openslide_reads_half_a_micron_per_pixel(cohort: CohortFiles) -> None:
    with openslide.OpenSlide(sorted(cohort.slides_dir.iterdir())[0]) as slide:
        assert slide.dimensions == (SIDE_PX, SIDE_PX)
        assert float(slide.properties[openslide.PROPERTY_NAME_MPP_X]) == pytest.approx(0.5, rel=1e-3)
        assert float(slide.properties[openslide.PROPERTY_NAME_MPP_Y]) == pytest.approx(0.5, rel=1e-3)
