"""Slide names and the match by patient."""

from __future__ import annotations

import pytest

from histonic.data.names import match_by_patient, slide_name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.svs", "a"),
        ("x/y/a.NDPI", "a"),
        ("C:\\slides\\a.mrxs", "a"),
        ("a.b.c.tiff", "a.b.c"),
        ("a.ome.tiff", "a"),
        ("TCGA-2F-A9KO.195576CF-B739", "TCGA-2F-A9KO.195576CF-B739"),
        ("a.h5", "a"),
        ("a.zarr/", "a"),
        (".svs", ".svs"),
    ],
)
def test_slide_name(path, name):
    assert slide_name(path) == name


@pytest.mark.parametrize(
    ("slide", "patients"),
    [
        ("P1", ["P1"]),
        ("P1-01", ["P1"]),
        ("P1_01", ["P1"]),
        ("P10", []),
        ("P1-2", ["P1-2"]),
        ("P1-2-x", ["P1", "P1-2"]),
        ("Q", []),
    ],
)
def test_match_by_patient(slide, patients):
    assert match_by_patient(slide, {"P1", "P1-2"}) == patients
