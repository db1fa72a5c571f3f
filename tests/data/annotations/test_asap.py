"""ASAP's XML: groups, kinds, order of corners, and broken files."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.core.errors import MaskError
from histonic.core.units import XY
from histonic.data.annotations.asap import read_asap
from histonic.data.annotations.shapes import Annotations

CAMELYON = """<?xml version="1.0"?>
<ASAP_Annotations>
  <Annotations>
    <Annotation Name="Annotation 0" Type="Polygon" PartOfGroup="_0" Color="#F4FA58">
      <Coordinates>
        <Coordinate Order="1" X="20" Y="0" />
        <Coordinate Order="0" X="0.5" Y="0" />
        <Coordinate Order="10" X="0" Y="30" />
        <Coordinate Order="2" X="20" Y="30" />
      </Coordinates>
    </Annotation>
    <Annotation Name="hole" Type="Spline" PartOfGroup="_2" Color="#F4FA58">
      <Coordinates>
        <Coordinate Order="0" X="2" Y="2" /><Coordinate Order="1" X="4" Y="2" />
        <Coordinate Order="2" X="4" Y="4" />
      </Coordinates>
    </Annotation>
    <Annotation Name="mitosis" Type="Dot" PartOfGroup="None" Color="#F4FA58">
      <Coordinates><Coordinate Order="0" X="5,25" Y="6" /></Coordinates>
    </Annotation>
    <Annotation Name="more" Type="PointSet" PartOfGroup="MF" Color="#F4FA58">
      <Coordinates><Coordinate Order="0" X="1" Y="2" /><Coordinate Order="1" X="3" Y="4" /></Coordinates>
    </Annotation>
    <Annotation Name="length" Type="Measurement" PartOfGroup="None" Color="#F4FA58">
      <Coordinates><Coordinate Order="0" X="1" Y="2" /><Coordinate Order="1" X="3" Y="4" /></Coordinates>
    </Annotation>
    <Annotation Name="click" Type="Polygon" PartOfGroup="_0" Color="#F4FA58">
      <Coordinates><Coordinate Order="0" X="1" Y="2" /></Coordinates>
    </Annotation>
  </Annotations>
  <AnnotationGroups>
    <Group Name="_0" PartOfGroup="None" Color="#00ff00"><Attributes /></Group>
  </AnnotationGroups>
</ASAP_Annotations>
"""


def read(folder: Path, text: str) -> Annotations:
    file = folder / "a.xml"
    file.write_text(text, encoding="utf-8")
    return read_asap(file, "Read a.xml.")


def test_all_kinds(tmp_path: Path) -> None:
    found = read(tmp_path, CAMELYON)
    assert [region.label for region in found.regions] == ["_0", "_2"]
    assert found.regions[0].rings[0].tolist() == [[0.5, 0], [20, 0], [20, 30], [0, 30]]
    assert [(point.label, point.xy) for point in found.points] == [
        ("unclassified", XY(5.25, 6)),
        ("MF", XY(1, 2)),
        ("MF", XY(3, 4)),
    ]
    assert found.passed_over == {"Measurement": 1, "polygon of fewer than three corners": 1}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (CAMELYON[:400], "It is no XML"),
        ("", "It is no XML"),
        ("<svg><g/></svg>", "begins with <svg>"),
        (CAMELYON.replace('X="20"', 'X="twenty"'), "Corner 1 of the annotation 'Annotation 0'"),
        (CAMELYON.replace('X="0.5"', ""), "Corner 2 of the annotation 'Annotation 0'"),
        (CAMELYON.replace('X="0.5"', 'X="nan"'), "Corner 2 of the annotation 'Annotation 0'"),
        ('<?xml version="1.0" encoding="no-such"?><a/>', "It is no XML"),
    ],
)
def test_broken_files(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(MaskError) as caught:
        read(tmp_path, text)
    assert found in str(caught.value) and "a.xml" in str(caught.value)
