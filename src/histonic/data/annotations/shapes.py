"""What annotations are made of: regions with holes, points, masks of codes; and the label of each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import shapely

from histonic.core.units import XY
from histonic.slides.areas import Rings, polygon_of
from histonic.slides.tissue.polygons import UNCLASSIFIED


@dataclass(frozen=True)
class Region:
    """An area.

    Attributes:
        label: Its class; None: excluded, nothing in it counts for any label.
        rings: Corners ``(n, 2)`` as x, y in level-0 pixels from the slide's top-left corner; the first ring
            is the outline, the others are holes. They are valid: none crosses itself or another, see
            :func:`histonic.slides.areas.repair`.
    """

    label: str | None
    rings: Rings

    @property
    def polygon(self) -> shapely.Polygon:
        """The same as shapely has it."""
        return polygon_of(self.rings)


@dataclass(frozen=True)
class Point:
    """A point, such as a mitosis, in level-0 pixels."""

    label: str
    xy: XY


@dataclass(frozen=True)
class CodeMask:
    """A picture of the whole slide whose pixels are class codes.

    Attributes:
        codes: Unsigned ``(h, w)``; its corner is the slide's top-left corner.
        labels: Class of each code; None: excluded. Codes that are not named say nothing.
        channel: The only channel of a colour picture that holds anything (``red``, ``green``, ``blue``);
            empty for a picture of one plane.
    """

    codes: npt.NDArray[np.unsignedinteger]
    labels: Mapping[int, str | None]
    channel: str = ""


@dataclass(frozen=True)
class Annotations:
    """All that is drawn on one slide.

    Attributes:
        regions: Areas.
        points: Points.
        mask: Picture of codes, if there is one.
        passed_over: What was not read and how often, such as ``{"LineString": 2}``.
        repaired: What was read only after a repair and how often, such as
            ``{"hole outside of its outline": 1}``.
    """

    regions: tuple[Region, ...] = ()
    points: tuple[Point, ...] = ()
    mask: CodeMask | None = None
    passed_over: Mapping[str, int] = field(default_factory=dict)
    repaired: Mapping[str, int] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels, sorted, without what is excluded."""
        coded = self.mask.labels.values() if self.mask else ()
        named = [*(region.label for region in self.regions), *(point.label for point in self.points), *coded]
        return tuple(sorted({name for name in named if name is not None}))


@dataclass(frozen=True)
class LabelRule:
    """Which label a class of the annotations gives; classes that are not named keep their own name.

    Attributes:
        labels: Class to label; several classes may give one label.
        exclude: Classes whose area is taken out of all labels and of the background.
        skip: Classes treated as if they had not been drawn.

    Example:
        >>> rule = LabelRule({"_0": "tumour", "_1": "tumour"}, exclude=("_2",))
        >>> rule.label_of("_1"), rule.label_of("_2"), rule.label_of("stroma")
        ('tumour', None, 'stroma')
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()

    @property
    def named(self) -> tuple[str, ...]:
        """The classes that the rule names, sorted."""
        return tuple(sorted({*self.labels, *self.exclude, *self.skip}))

    def label_of(self, name: str) -> str | None:
        """The label of a class that is not skipped; None if it is excluded."""
        return None if name in self.exclude else self.labels.get(name, name)

    def skips(self, name: str) -> bool:
        """Whether a class is left out: by name, or because it has none and nobody says what it is."""
        unnamed = name == UNCLASSIFIED and name not in self.labels and name not in self.exclude
        return unnamed or name in self.skip


def apply_rule(found: Annotations, rule: LabelRule) -> Annotations:
    """Annotations with labels in place of classes.

    Points of excluded classes are dropped. Shapes without a class are dropped and counted, unless the
    rule names the class :data:`UNCLASSIFIED`.

    Example:
        >>> drawn = Annotations(points=(Point("MF", XY(3, 4)), Point("unclassified", XY(0, 0))))
        >>> named = apply_rule(drawn, LabelRule({"MF": "mitosis"}))
        >>> named.labels, named.passed_over
        (('mitosis',), {'shape without a class': 1})
    """
    passed = Counter(found.passed_over)
    if rule.skips(UNCLASSIFIED) and UNCLASSIFIED not in rule.skip:
        classes = [region.label for region in found.regions] + [point.label for point in found.points]
        unnamed = classes.count(UNCLASSIFIED)
        passed.update({"shape without a class": unnamed} if unnamed else {})
    regions = tuple(
        Region(None if region.label is None else rule.label_of(region.label), region.rings)
        for region in found.regions
        if region.label is None or not rule.skips(region.label)
    )
    points = tuple(
        Point(label, point.xy)
        for point in found.points
        if not rule.skips(point.label) and (label := rule.label_of(point.label)) is not None
    )
    mask = None
    if found.mask is not None:
        named = {
            code: name
            for code, name in found.mask.labels.items()
            # Code 0 is nothing, unless somebody says what it is.
            if name and not rule.skips(name) and (code or name in rule.named)
        }
        labels = {code: rule.label_of(name) for code, name in named.items()}
        mask = CodeMask(found.mask.codes, labels, found.mask.channel)
    return Annotations(regions, points, mask, dict(passed), found.repaired)
