"""What histonic and OpenSlide read from one file: pixels, resolution, bounds and tissue, compared."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import openslide
from PIL import Image

from histonic.core.errors import HistonicError
from histonic.core.units import MPP_TOLERANCE
from histonic.slides.base import LevelSlide, open_slide
from histonic.slides.formats.array import ArraySlide
from histonic.slides.formats.openslide import OpenSlideSlide
from histonic.slides.thumbnail import thumbnail
from histonic.slides.tissue.finder import find_tissue
from histonic.slides.tissue.rule import TissueMask

UInt8Image = npt.NDArray[np.uint8]
Verdict = Literal["same", "nearly the same", "different", "histonic only", "OpenSlide only", "neither"]

SAFE_WORDS = {
    "openslide.vendor",
    "hamamatsu.Product",
    "leica.device-model",
    "mirax.GENERAL.SLIDE_VERSION",
    "philips.DICOM_MANUFACTURER",
    "ventana.ScannerModel",
    "dicom.Manufacturer",
    "dicom.ManufacturerModelName",
    "tiff.Make",
    "tiff.Model",
    "tiff.ResolutionUnit",
}
"""Properties whose words are those of makers and formats."""
SAFE_NUMBERS = {
    "aperio.AppMag",
    "aperio.MPP",
    "hamamatsu.SourceLens",
    "hamamatsu.XOffsetFromSlideCentre",
    "hamamatsu.YOffsetFromSlideCentre",
    "leica.objective",
    "mirax.GENERAL.OBJECTIVE_MAGNIFICATION",
    "openslide.objective-power",
    "openslide.mpp-x",
    "openslide.mpp-y",
    "openslide.bounds-x",
    "openslide.bounds-y",
    "openslide.bounds-width",
    "openslide.bounds-height",
    "openslide.level-count",
    "tiff.XResolution",
    "tiff.YResolution",
    "ventana.Magnification",
}
LEVEL_NUMBERS = re.compile(r"openslide\.level\[\d+\]\.(downsample|height|width|tile-height|tile-width)")
"""Properties that are shown if they are numbers; all others are left out."""
REGION_PX, REGIONS_A_SIDE = 256, 4
NEARLY = 1.0
"""Mean difference in grey levels that two decoders may have."""
TISSUE_MPP = 8.0
TISSUE_NEARLY = 0.01
MOST_PIXELS = 60_000_000
"""Of a level that OpenSlide is asked for at once."""
PICTURE_PX = 360
ASSUMED_MPP = 0.5


@dataclass
class LevelComparison:
    """Pixels of one stored level.

    Attributes:
        wh: Its size as histonic sees it.
        regions: How many were compared.
        equal: Share of equal pixels.
        mean: Mean difference in grey levels.
        most: Largest difference.
    """

    wh: tuple[int, int]
    regions: int
    equal: float
    mean: float
    most: int


@dataclass
class Comparison:
    """One file as both see it.

    Attributes:
        name: File name, or its hash.
        size_bytes: Of the file.
        ending: Of the file's name.
        first_bytes: In hexadecimal digits.
        ours: What histonic says of it.
        theirs: What OpenSlide says of it.
        levels: Pixels compared.
        tissue: Share of tissue by histonic's pixels, by OpenSlide's, and of cells on which both agree.
        findings: What differs, or was not compared.
        verdict: All in two or three words.
    """

    name: str
    size_bytes: int = 0
    ending: str = ""
    first_bytes: str = ""
    ours: dict[str, Any] = field(default_factory=dict)
    theirs: dict[str, Any] = field(default_factory=dict)
    levels: list[LevelComparison] = field(default_factory=list)
    tissue: dict[str, float] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    verdict: Verdict = "same"


@dataclass
class Pictures:
    """What is shown of a file, uint8 ``(h, w, 3)``; paler where no tissue was found."""

    ours: UInt8Image | None = None
    theirs: UInt8Image | None = None


def compare_slide(path: Path, *, mpp: float | None = None, name: str | None = None) -> Comparison:
    """Compare what histonic and OpenSlide read from a file: pixels, resolution, bounds, tissue.

    Args:
        path: The file.
        mpp: Microns per pixel where its header does not say; 0.5 is assumed for the tissue if nobody says.
        name: What it is called on the page; by default its file name.

    Example:
        >>> import tempfile
        >>> from histonic.slides.formats.pyramid import write_pyramid
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_pyramid(f"{folder}/a.tif", np.full((600, 800, 3), 200, np.uint8), mpp=0.5)
        ...     found = compare_slide(Path(folder) / "a.tif")
        >>> found.verdict, found.levels[0].most
        ('same', 0)
    """
    return compare_with_pictures(path, mpp, name or path.name)[0]


def compare_with_pictures(path: Path, mpp: float | None, name: str) -> tuple[Comparison, Pictures]:
    """Like :func:`compare_slide`, with what is shown."""
    found, pictures = Comparison(name, ending=path.suffix.lower()), Pictures()
    try:
        found.size_bytes = path.stat().st_size
        with path.open("rb") as file:
            found.first_bytes = file.read(8).hex(" ")
    except OSError as error:
        found.findings.append(f"cannot be read: {error.strerror}")
    ours = theirs = None
    try:
        ours = open_slide(path, default_mpp=mpp)
        found.ours = _our_facts(ours, path, name)
        if not ours.has_mpp:
            ours.close()
            ours = open_slide(path, default_mpp=ASSUMED_MPP)
            found.findings.append(f"no resolution in the header: {ASSUMED_MPP} µm/px assumed")
    except Exception as error:  # noqa: BLE001 - said on the page
        found.ours = {"refused": _plain(error, path, name)}
    try:
        # Opened by the reader first, which refuses files at which OpenSlide would end the process.
        OpenSlideSlide.open(path).close()
        theirs = openslide.OpenSlide(path)
        found.theirs = {"version": openslide.__library_version__, **_safe(theirs.properties)}
    except Exception as error:  # noqa: BLE001 - said on the page
        found.theirs = {"refused": _plain(error, path, name)}
    try:
        if ours is not None and theirs is not None:
            corner, wh = _bounds(theirs)
            _compare_facts(found, ours, theirs, wh)
            _compare_pixels(found, ours, theirs, corner)
        _compare_tissue(found, pictures, ours, theirs)
    except Exception as error:  # noqa: BLE001 - said on the page
        found.findings.append(f"broke off: {_plain(error, path, name)}")
    finally:
        for each in (ours, theirs):
            if each is not None:
                each.close()
    found.verdict = _verdict(found, ours is not None, theirs is not None)
    return found, pictures


def _our_facts(slide: LevelSlide, path: Path, name: str) -> dict[str, Any]:
    return {
        "reader": slide.reader,
        "version": slide.reader_version,
        "level 0": f"{slide.size_wh.w} x {slide.size_wh.h}",
        "levels": [f"{wh.w} x {wh.h}" for wh in slide.level_whs],
        "µm/px": round(slide.mpp, 6) if slide.has_mpp else "not known",
        "from": slide.mpp_source,
        "storage": slide.storage,
        "note": _without_name(slide.note, path, name),
    }


def _safe(properties: Mapping[str, str]) -> dict[str, str]:
    """The properties that cannot name a patient."""
    safe = {}
    for key, value in sorted(properties.items()):
        is_number = re.fullmatch(r"-?[\d.,]{1,20}(e-?\d{1,3})?", value.strip()) is not None
        if (key in SAFE_NUMBERS or LEVEL_NUMBERS.fullmatch(key)) and is_number:
            safe[key] = value.strip()
        elif key in SAFE_WORDS:
            safe[key] = value.strip()[:40]
    return safe


def _bounds(theirs: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Corner and size of what was scanned, in level-0 pixels: all where OpenSlide states no bounds."""
    try:
        x, y, wide, high = (
            int(theirs.properties[f"openslide.bounds-{side}"]) for side in ("x", "y", "width", "height")
        )
    except (KeyError, ValueError):
        return (0, 0), theirs.dimensions
    return (x, y), (wide, high)


def _compare_facts(found: Comparison, ours: LevelSlide, theirs: Any, wh: tuple[int, int]) -> None:
    if tuple(ours.size_wh) != tuple(wh):
        found.findings.append(
            f"size: {ours.size_wh.w} x {ours.size_wh.h} px, by OpenSlide {wh[0]} x {wh[1]} px (its bounds)"
        )
    said = [_number(theirs.properties.get(f"openslide.mpp-{axis}", "")) for axis in "xy"]
    mpps = [each for each in said if each]
    if mpps and ours.mpp_source != "given":
        theirs_mpp = sum(mpps) / len(mpps)
        if abs(ours.mpp - theirs_mpp) > MPP_TOLERANCE * theirs_mpp:
            found.findings.append(f"resolution: {ours.mpp:.4g} µm/px, by OpenSlide {theirs_mpp:.4g} µm/px")
    elif mpps:
        found.findings.append(f"resolution: OpenSlide finds {mpps[0]:.4g} µm/px in the header")
    if len(ours.level_whs) != theirs.level_count:
        found.findings.append(f"levels: {len(ours.level_whs)}, by OpenSlide {theirs.level_count}")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _compare_pixels(found: Comparison, ours: LevelSlide, theirs: Any, corner: tuple[int, int]) -> None:
    """Regions over each level that both have, read at that level by both."""
    downs = [ours.native_mpps()[level] / ours.mpp for level in range(len(ours.level_whs))]
    for level, down in enumerate(downs):
        near = [index for index, its in enumerate(theirs.level_downsamples) if abs(its / down - 1) < 0.01]
        if not near:
            found.findings.append(f"level {level} (1:{down:.3g}) is not among OpenSlide's")
            continue
        differences = []
        for x, y, wide, high in _regions(ours.level_whs[level]):
            # A whole number of level-0 pixels, as OpenSlide takes positions in those only.
            start = (round(x * down), round(y * down))
            mine = ours.read(start, (wide, high), ours.mpp * down)
            place = (corner[0] + start[0], corner[1] + start[1])
            its = np.asarray(theirs.read_region(place, near[0], (wide, high)))
            alpha = its[..., 3:].astype(np.uint16)
            shown = ((its[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.int16)
            differences.append(np.abs(mine.astype(np.int16) - shown).max(axis=2).ravel())
        all_of_them = np.concatenate(differences)
        found.levels.append(
            LevelComparison(
                ours.level_whs[level],
                len(differences),
                round(float((all_of_them == 0).mean()), 6),
                round(float(all_of_them.mean()), 4),
                int(all_of_them.max()),
            )
        )


def _regions(wh: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Corners and sizes of regions spread over a level, the four corners of it among them."""
    wide, high = min(REGION_PX, wh[0]), min(REGION_PX, wh[1])
    for y in np.unique(np.linspace(0, wh[1] - high, REGIONS_A_SIDE).astype(int)):
        for x in np.unique(np.linspace(0, wh[0] - wide, REGIONS_A_SIDE).astype(int)):
            yield int(x), int(y), wide, high


def _compare_tissue(found: Comparison, pictures: Pictures, ours: LevelSlide | None, theirs: Any) -> None:
    masks: list[npt.NDArray[np.bool_]] = []
    if ours is not None:
        mask = find_tissue(ours)
        masks.append(mask.mask)
        found.tissue["histonic"] = round(float(mask.mask.mean()), 4)
        pictures.ours = _drawn(thumbnail(ours, PICTURE_PX), mask)
    if theirs is None:
        return
    mpp = (
        ours.mpp
        if ours is not None
        else (_number(theirs.properties.get("openslide.mpp-x", "")) or ASSUMED_MPP)
    )
    (left, top), (wide, high) = _bounds(theirs)
    down = TISSUE_MPP / mpp
    level = theirs.get_best_level_for_downsample(down)
    its_down = theirs.level_downsamples[level]
    wh = (max(1, int(wide / its_down)), max(1, int(high / its_down)))
    if wh[0] * wh[1] > MOST_PIXELS:
        found.findings.append("OpenSlide's whole picture was not asked for: no small enough level is stored")
        return
    region = theirs.read_region((left, top), level, wh)
    white = Image.new("RGBA", region.size, "white")
    pixels = np.asarray(Image.alpha_composite(white, region).convert("RGB"))
    copy = ArraySlide(pixels, mpp=mpp * its_down)
    mask = find_tissue(copy)
    masks.append(mask.mask)
    found.tissue["OpenSlide"] = round(float(mask.mask.mean()), 4)
    pictures.theirs = _drawn(thumbnail(copy, PICTURE_PX), mask)
    if len(masks) == 2:
        # A level that is stored coarser is looked at more coarsely.
        shape = min((mask.shape for mask in masks), key=math.prod)
        agreed = _sampled(masks[0], shape) == _sampled(masks[1], shape)
        found.tissue["agreement"] = round(float(agreed.mean()), 4)
        if found.tissue["agreement"] < 1 - TISSUE_NEARLY:
            found.findings.append(f"tissue: both agree on {found.tissue['agreement']:.1%} of the slide")


def _sampled(mask: npt.NDArray[np.bool_], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """A mask at the middles of the pixels of another one of the same slide."""
    rows, cols = (
        ((np.arange(wanted) + 0.5) * own / wanted).astype(int)
        for wanted, own in zip(shape, mask.shape, strict=True)
    )
    return mask[np.ix_(rows, cols)]


def _drawn(picture: UInt8Image, tissue: TissueMask) -> UInt8Image:
    """A small picture, paler where no tissue was found."""
    rows = (np.arange(picture.shape[0]) + 0.5) * tissue.mask.shape[0] / picture.shape[0]
    cols = (np.arange(picture.shape[1]) + 0.5) * tissue.mask.shape[1] / picture.shape[1]
    kept = tissue.mask[np.ix_(rows.astype(int), cols.astype(int))]
    return np.where(kept[..., None], picture, picture // 3 + 170).astype(np.uint8)


def _verdict(found: Comparison, ours: bool, theirs: bool) -> Verdict:
    if not (ours and theirs):
        return "histonic only" if ours else "OpenSlide only" if theirs else "neither"
    told = [each for each in found.findings if not each.startswith(("no resolution", "OpenSlide's whole"))]
    if told or any(level.mean > NEARLY for level in found.levels):
        return "different"
    return "same" if all(level.most == 0 for level in found.levels) else "nearly the same"


def _plain(error: Exception, path: Path, name: str) -> str:
    text = error.reason if isinstance(error, HistonicError) else f"{type(error).__name__}: {error}"
    return _without_name(text, path, name)


def _without_name(text: str, path: Path, name: str) -> str:
    """A text in which the name on the page stands for the file, and no folder is told."""
    for told in (str(path.resolve()), str(path), path.name):
        text = text.replace(told, name)
    if name != path.name:
        text = re.sub(rf"(?<!\w){re.escape(path.stem)}(?!\w)", name, text)
    for folder in (path.resolve().parent, path.parent):
        if len(folder.parts) > 1:
            text = text.replace(str(folder), "")
    return " ".join(text.split())
