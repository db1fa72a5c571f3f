"""How much of each slide is tissue, and which slides stand out among their neighbours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal, get_args

from histonic.core.files import write_csv
from histonic.core.grid import TileGrid
from histonic.core.settings import Flaw
from histonic.data.maps.facts import MapFacts, StoredQuality, read_map_facts
from histonic.data.maps.failures import Failure
from histonic.data.maps.store import map_folder

SHARES_FILE = "tissue.csv"
COLUMNS = (
    "slide_id", "share_of_area", "share_of_cells", "cells", "tissue_mm2", "scan_mm2", "tissue_from",
    "pen_of_area", "folds_of_cells", "blurred_of_cells", "left_out_pen", "left_out_folds", "left_out_blur",
    "stands_out", "words",
)  # fmt: skip
NO_CELL = "No cell holds enough tissue."
"""By which the record of a slide without tissue is told from other failures."""
FIELD_MM2 = 10.0
"""Scans up to this are fields and cores, whose neighbours are other fields and cores."""
FEWEST = 4
"""Slides with tissue of one kind, below which none of them can stand out."""
FAR_SCALES = 3.5
"""Median absolute deviations, as scale of a normal law, from the median: the bound of Iglewicz and Hoaglin,
How to detect and handle outliers (1993)."""
FAR_TIMES = 3.0
"""And so many times less than the median, lest cohorts that are all alike name small differences."""
ALL = 0.98
"""Share from which on all of a slide is tissue; glass of less is as good as none."""
SOME_GLASS = 0.9
"""Neighbours with a greater median share are all tissue, too."""
LEAST = 1e-3
"""Smaller shares are told apart no more."""
FLAWS: tuple[Flaw, ...] = get_args(Flaw)
Kind = Literal["nothing", "less", "all"]
KINDS: tuple[Kind, ...] = ("nothing", "less", "all")


@dataclass(frozen=True)
class TissueShare:
    """How much of one slide is tissue.

    Attributes:
        slide_id: Name of the slide.
        cells: Cells that were kept; 0 for a slide on which nothing is tissue.
        of_area: Area of the tissue over the area of the slide, 0 to 1; None if not known (maps of earlier
            versions, slides without a kept cell).
        of_cells: Kept cells over all cells of the grid, 0 to 1; those at its border reach beyond the slide.
        tissue_mm2: Area of the tissue; of the kept cells where that is not known.
        scan_mm2: Area of the whole picture; None if not known.
        tissue_from: ``found``, ``all`` (every cell was taken) or ``mask``; empty if not known.
        quality: What spoils it, and what was left out for that; None if not known.
    """

    slide_id: str
    cells: int
    of_area: float | None
    of_cells: float
    tissue_mm2: float = 0.0
    scan_mm2: float | None = None
    tissue_from: str = ""
    quality: StoredQuality | None = None

    @classmethod
    def of(
        cls,
        slide_id: str,
        grid: TileGrid,
        cells: int,
        of_area: float | None,
        tissue_from: str = "",
        quality: StoredQuality | None = None,
    ) -> TissueShare:
        """Of a slide whose grid and number of kept cells are known."""
        scan_mm2 = grid.slide_wh.w * grid.slide_wh.h * (grid.slide_mpp / 1000) ** 2
        return cls(
            slide_id,
            cells,
            of_area,
            cells / (grid.shape.rows * grid.shape.cols),
            cells * (grid.cell_um / 1000) ** 2 if of_area is None else of_area * scan_mm2,
            scan_mm2,
            tissue_from,
            quality,
        )

    @classmethod
    def of_map(cls, facts: MapFacts) -> TissueShare:
        """Of a map."""
        area = None if facts.tissue is None else facts.tissue.of_area
        rule = facts.settings.tissue
        source = (
            "mask" if facts.slide.mask else "" if rule is None else "all" if rule.source == "all" else "found"
        )
        return cls.of(facts.slide_id, facts.grid, facts.cells, area, source, facts.quality)

    @classmethod
    def nothing(cls, slide_id: str) -> TissueShare:
        """Of a slide on which no cell was kept."""
        return cls(slide_id, 0, None, 0.0)

    def words(self) -> str:
        """The share in a few words.

        Example:
            >>> TissueShare("a", 30, 0.284, 0.3125).words()
            'tissue 28 % of the slide (30 cells)'
        """
        cells = "1 cell" if self.cells == 1 else f"{self.cells:,} cells"
        if left_out := left_out_words([self]):
            cells = f"{cells}; left out: {left_out}"
        if self.of_area is None:
            return (
                f"tissue {percent(self.of_cells)} of its cells ({self.cells:,})"
                if self.cells
                else "no tissue"
            )
        return f"tissue {percent(self.of_area)} of the slide ({cells})"


@dataclass(frozen=True)
class TissueOutlier:
    """A slide whose share of tissue stands out.

    Attributes:
        slide_id: Name of the slide.
        kind: ``nothing``: no cell was kept; ``less``: far less tissue than its neighbours; ``all``: all of it
            is tissue, and its neighbours are not.
        words: The same with numbers.
    """

    slide_id: str
    kind: Kind
    words: str


def tissue_outliers(shares: Sequence[TissueShare]) -> list[TissueOutlier]:
    """Name the slides whose share of tissue stands out: a matter for the eye, by which nothing is left out.

    The neighbours of a slide are those of its kind: fields and cores (up to :data:`FIELD_MM2`), or larger
    scans. On the logarithm of the share, a slide stands out below the median by more than
    :data:`FAR_SCALES` scaled median absolute deviations and :data:`FAR_TIMES` times; on the logarithm of the
    share of glass in the same way, if all of it is tissue. Of fewer than :data:`FEWEST` slides of a kind
    none does. A slide without a kept cell always does.

    Args:
        shares: Of the whole cohort. Where one area is not known, the shares of cells are compared.

    Returns:
        Slides with nothing first, then the least shares, then those that are all tissue.

    Example:
        >>> cohort = [TissueShare(f"s{k}", 9, share, share) for k, share in enumerate((0.3, 0.25, 0.4, 0.01))]
        >>> [(each.slide_id, each.kind) for each in tissue_outliers(cohort)]
        [('s3', 'less')]
        >>> tissue_outliers(cohort)[0].words
        'far less tissue than its neighbours: 1.0 % of the slide, where the median of 4 slides is 28 %'
    """
    some = [each for each in shares if each.cells]
    value, of_what = _compared(some)
    found = [
        TissueOutlier(each.slide_id, "nothing", f"nothing on it is tissue: no cell is kept{_others(value)}")
        for each in shares
        if not each.cells
    ]
    for name in ("slides", "fields or cores"):
        kin = sorted(
            (value[each.slide_id], each.slide_id) for each in some if _is_field(each) == (name != "slides")
        )
        found += _of_kind(kin, name, of_what)
    return sorted(found, key=lambda each: KINDS.index(each.kind))


def _of_kind(kin: Sequence[tuple[float, str]], name: str, of_what: str) -> list[TissueOutlier]:
    """Those that stand out among slides of one kind, sorted by their share."""
    if len(kin) < FEWEST:
        return []
    values = [share for share, _ in kin]
    middle = median(values)
    lowest = _bound([math.log(max(share, LEAST)) for share in values])
    least_glass = _bound([math.log(max(1 - share, 1 - ALL)) for share in values])
    found = []
    for share, slide_id in kin:
        own = f"{percent(share)} of {of_what}, where the median of {len(kin)} {name} is {percent(middle)}"
        if math.log(max(share, LEAST)) < lowest:
            found.append(TissueOutlier(slide_id, "less", f"far less tissue than its neighbours: {own}"))
        elif share >= ALL and middle <= SOME_GLASS and math.log(1 - ALL) < least_glass:
            found.append(TissueOutlier(slide_id, "all", f"all of it is tissue, unlike its neighbours: {own}"))
    return found


def _bound(values: Sequence[float]) -> float:
    """Below it a value is far from the others."""
    middle = median(values)
    # 1.4826 times the median absolute deviation is the standard deviation of a normal law; of few values it
    # is too small (Croux and Rousseeuw 1992).
    scale = 1.4826 * median([abs(each - middle) for each in values]) * len(values) / (len(values) - 0.8)
    return middle - max(FAR_SCALES * scale, math.log(FAR_TIMES)) - 1e-9


def _compared(shares: Sequence[TissueShare]) -> tuple[dict[str, float], str]:
    """The number of each slide that is compared, the same for all, and what it is a share of."""
    areas = {each.slide_id: each.of_area for each in shares if each.of_area is not None}
    if len(areas) == len(shares):
        return areas, "the slide"
    return {each.slide_id: each.of_cells for each in shares}, "its cells"


def _others(value: dict[str, float]) -> str:
    if not value:
        return ""
    count = f"{len(value)} others" if len(value) > 1 else "the only other"
    return f", where the median of {count} is {percent(median(value.values()))}"


def _is_field(share: TissueShare) -> bool:
    return share.scan_mm2 is not None and share.scan_mm2 <= FIELD_MM2


def percent(share: float) -> str:
    """A share in per cent.

    Example:
        >>> percent(0.314), percent(0.012), percent(0.0002), percent(0.0), percent(1.0), percent(0.999)
        ('31 %', '1.2 %', 'under 0.1 %', '0 %', '100 %', '99.9 %')
    """
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    if share < 0.001:
        return "under 0.1 %"
    if share > 0.99:
        return f"{math.floor(1000 * share) / 10:.1f} %"
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"


def cohort_words(shares: Sequence[TissueShare]) -> str:
    """The shares of a cohort in one sentence; empty if no slide has tissue.

    Example:
        >>> cohort_words([TissueShare("a", 9, 0.1, 0.2), TissueShare("b", 9, 0.5, 0.6)])
        'Tissue is 30 % of the median slide (10 % to 50 %, 2 slides).'
    """
    value, of_what = _compared([each for each in shares if each.cells])
    if not value:
        return ""
    ends = f"{percent(min(value.values()))} to {percent(max(value.values()))}"
    of_what = "the median slide" if of_what == "the slide" else "the cells of the median slide"
    slides = f"{len(value):,} slides" if len(value) > 1 else "1 slide"
    return f"Tissue is {percent(median(value.values()))} of {of_what} ({ends}, {slides})."


def left_out_words(shares: Iterable[TissueShare]) -> str:
    """How many cells of tissue were left out, by reason; empty if none was.

    Example:
        >>> flaws = StoredQuality(
        ...     pen_of_area=0, folds_of_cells=0, blurred_of_cells=None, left_out={"pen": 3, "folds": 0}
        ... )
        >>> left_out_words([TissueShare("a", 9, 0.1, 0.2, quality=flaws)])
        '3 for pen'
    """
    counts = {flaw: 0 for flaw in FLAWS}
    for each in shares:
        for flaw, count in (each.quality.left_out if each.quality else {}).items():
            counts[flaw] += count
    return ", ".join(f"{count:,} for {flaw}" for flaw, count in counts.items() if count)


def quality_words(shares: Sequence[TissueShare]) -> str:
    """What spoils the tissue of a cohort, in one or two sentences; empty if that is not known of any slide.

    Example:
        >>> flaws = StoredQuality(pen_of_area=0, folds_of_cells=0.02, blurred_of_cells=0.1, left_out={})
        >>> quality_words([TissueShare("a", 9, 0.1, 0.2, quality=flaws)])
        'Of the median slide 0 % is pen, 2.0 % of its tissue fold or dark, 10 % of its cells out of focus.'
    """
    known = [each.quality for each in shares if each.quality is not None]
    if not known:
        return ""
    pen, folds = (
        percent(median(values))
        for values in ([each.pen_of_area for each in known], [each.folds_of_cells for each in known])
    )
    judged = [each.blurred_of_cells for each in known if each.blurred_of_cells is not None]
    blur = f", {percent(median(judged))} of its cells out of focus" if judged else ""
    words = f"Of the median slide {pen} is pen, {folds} of its tissue fold or dark{blur}."
    left_out = left_out_words(shares)
    return f"{words} Cells left out: {left_out}." if left_out else words


def unknown_words(known: int, slides: int) -> str:
    """Of how many slides the share is not known, since their maps are gone; empty if it is of all.

    Example:
        >>> unknown_words(3, 3), unknown_words(1, 3)
        ('', 'Of 2 of 3 slides it is not known: their maps are not in the store.')
    """
    if known == slides:
        return ""
    if not known:
        return "The share of tissue is not known: the store that holds the maps is not there."
    return f"Of {slides - known} of {slides} slides it is not known: their maps are not in the store."


def read_shares(store: Path, slide_ids: Iterable[str], failures: Iterable[Failure]) -> list[TissueShare]:
    """The shares of some maps of a store, and of slides on which nothing was tissue.

    Args:
        store: The folder.
        slide_ids: Names of maps.
        failures: Records of slides that could not be compressed.

    Raises:
        StoreError: A map is absent or damaged.
    """
    found = {name: TissueShare.of_map(read_map_facts(map_folder(store, name))) for name in slide_ids}
    for failure in failures:
        if failure.stage == "tissue" and failure.reason.startswith(NO_CELL):
            found.setdefault(failure.slide_id, TissueShare.nothing(failure.slide_id))
    return [found[name] for name in sorted(found)]


def write_shares(store: Path, shares: Sequence[TissueShare], outliers: Sequence[TissueOutlier]) -> None:
    """Write :data:`SHARES_FILE` into a store: a line a slide, with what stands out.

    Raises:
        OutputError: It cannot be written.
    """
    standing = {each.slide_id: each for each in outliers}
    rows = []
    for each in shares:
        outlier = standing.get(each.slide_id)
        rows.append(
            {
                "slide_id": each.slide_id,
                "share_of_area": each.of_area,
                "share_of_cells": each.of_cells,
                "cells": each.cells,
                "tissue_mm2": each.tissue_mm2,
                "scan_mm2": each.scan_mm2,
                "tissue_from": each.tissue_from,
                **_quality_row(each.quality),
                "stands_out": outlier.kind if outlier else "",
                "words": outlier.words if outlier else "",
            }
        )
    write_csv(store / SHARES_FILE, COLUMNS, rows)


def _quality_row(quality: StoredQuality | None) -> dict[str, Any]:
    """The columns of what spoils a slide; those of maps that do not tell it stay empty."""
    told = {} if quality is None else quality.model_dump()
    names = ("pen_of_area", "folds_of_cells", "blurred_of_cells")
    counts = {flaw: told.get("left_out", {}).get(flaw, 0 if told else None) for flaw in FLAWS}
    return {
        **{name: told.get(name) for name in names},
        **{f"left_out_{flaw}": count for flaw, count in counts.items()},
    }
