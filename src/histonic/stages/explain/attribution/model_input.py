"""What the networks saw when they predicted a patient: one slide, or all of them side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.core.cohort import Patient
from histonic.core.compressed import CompressedSlide, PatientPart
from histonic.core.progress import Silent
from histonic.core.tissue_box import TissueBox
from histonic.core.units import RC, Shape
from histonic.data.maps.fusion import JOINED_PREFIX, Fusion, fuse_patient, lay_out_tissue, maps_of
from histonic.data.maps.memory import Maps, memory_for_one_look
from histonic.runs.documents import SlidesOfPatient


@dataclass(frozen=True)
class ModelInput:
    """The map that is explained, and where in it the slide lies.

    Attributes:
        maps: Hold that one map.
        name: Its name there.
        shape: Rows and columns of the slide.
        box: The part of the slide that lies in it.
        corner: Where in it that part begins.
    """

    maps: Maps
    name: str
    shape: Shape
    box: TissueBox
    corner: RC

    @property
    def is_joined(self) -> bool:
        """Whether other slides of the patient are in it."""
        return self.name.startswith(JOINED_PREFIX)

    def on_slide(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The slide's part ``(R, K)`` of values of the whole map; NaN, or False, where that leaves it out."""
        found = np.full(self.shape, False if values.dtype == bool else np.nan, values.dtype)
        found[self.box.slices] = values[TissueBox(self.corner, self.box.shape).slices]
        return found


def model_input_of(
    slide: CompressedSlide,
    patient: SlidesOfPatient | None,
    fusion: Fusion,
    read: Callable[[str], CompressedSlide],
    parts: Sequence[PatientPart] = (),
) -> ModelInput:
    """The map in which the networks saw a slide.

    Args:
        slide: The slide.
        patient: Of ``cohort.json``; None for a slide that is none of the cohort, which is seen by itself.
        fusion: How the run brings several slides of a patient together.
        read: Opens the map of a slide.
        parts: Of the run's patients, where it has several.
    """
    shape = Shape(*slide.mask.shape)
    names = patient.slide_ids if patient else (slide.slide_id,)
    if fusion == "late" or (fusion == "early" and len(names) == 1):
        alone = Maps({slide.slide_id: slide}, Silent(), memory_for_one_look())
        return ModelInput(alone, slide.slide_id, shape, TissueBox(RC(0, 0), shape), RC(0, 0))
    whole = Patient(patient.patient_id if patient else "", names)
    opened = {name: slide if name == slide.slide_id else read(name) for name in names}
    maps = Maps(maps_of([whole], fusion, opened.__getitem__, parts), Silent(), memory_for_one_look())
    boxes, places, _ = lay_out_tissue([opened[name].mask for name in names])
    number = names.index(slide.slide_id)
    return ModelInput(maps, fuse_patient(whole, fusion).slide_ids[0], shape, boxes[number], places[number])
