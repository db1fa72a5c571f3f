"""A slide as a spatial map of codes, always with its mask, grid and origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import PositiveInt, SerializerFunctionWrapHandler, model_serializer

from histonic.core.documents import Part
from histonic.core.errors import StoreError
from histonic.core.grid import TileGrid
from histonic.core.notebooks.cards import Card, share_text
from histonic.core.settings import (
    Engine,
    Flaw,
    MaskSettings,
    Pooling,
    Precision,
    StainFacts,
    StainNormalisation,
    TissueSettings,
)
from histonic.core.units import MOST_ENLARGEMENT, WH, Number

ORIENTATIONS = 8
"""Four quarter turns, each plain and mirrored."""
ELSEWHERE = "elsewhere"
"""Stands in place of the architecture of encoders that another tool ran; the tool follows a colon."""


class ArrayLike3(Protocol):
    """Features as NumPy holds them, or as Zarr reads them piece by piece."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""

    def __getitem__(self, key: Any) -> Any:
        """Read a part."""


def orient(array: npt.NDArray[Any], orientation: int, axes: tuple[int, int] = (-2, -1)) -> npt.NDArray[Any]:
    """Turn an array by one of the eight orientations.

    Orientation ``o`` mirrors left-right if ``o >= 4``, then turns ``o % 4`` quarter turns
    counter-clockwise. Tiles and grids turn by the same rule, so that the map of orientation ``o`` is
    ``orient(codes of oriented tiles, o)``.

    Args:
        array: Any array.
        orientation: 0 to 7; 0 leaves it as it is.
        axes: The row and column axes.

    Example:
        >>> orient(np.array([[1, 2], [3, 4]]), 1).tolist()
        [[2, 4], [1, 3]]
    """
    turned = np.flip(array, axes[1]) if orientation >= 4 else array
    return np.rot90(turned, orientation % 4, axes)


def turn_back(array: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """The inverse of :func:`orient` on the last two axes: a view, to write a turned array through.

    Example:
        >>> grid = np.arange(6.0).reshape(2, 3)
        >>> all((turn_back(orient(grid, turn), turn) == grid).all() for turn in range(8))
        True
    """
    upright = np.rot90(array, -(orientation % 4), (-2, -1))
    return np.flip(upright, -1) if orientation >= 4 else upright


def _without(key: str, plain: dict[str, Any]) -> dict[str, Any]:
    """Plain values without a key that says nothing, so that files of before it was known stay equal."""
    return {name: value for name, value in plain.items() if name != key or value is not None}


@dataclass(frozen=True)
class TrunkDescription:
    """How the network of an encoder from elsewhere is built, and what it was trained to see.

    Attributes:
        arguments: Of the architecture beyond its name, plain values.
        pooling: What is the code.
        mean: Colours of 0..1 that the network takes as zero: red, green, blue.
        std: By which the rest is divided.
        preset: The preset of histonic that says all this; empty if it was given otherwise.
    """

    arguments: Mapping[str, Any] = field(hash=False)
    pooling: Pooling
    mean: tuple[Number, Number, Number]
    std: tuple[Number, Number, Number]
    preset: str = ""


@dataclass(frozen=True)
class ProjectionDescription:
    """How the codes of a frozen encoder become shorter ones.

    Attributes:
        features: F, numbers of the frozen encoder's codes.
        hidden: Numbers of the layer between; 0: there is none, and the projection is linear.
        most_deviations: Standardised numbers are cut off there; None: not at all, as in projections made
            before there was a limit.
    """

    features: PositiveInt
    hidden: int = 0
    most_deviations: float | None = None


@dataclass(frozen=True)
class EncoderSpec:
    """What an encoder expects and gives.

    Attributes:
        name: The encoder's own name, written into every map.
        architecture: The entry of the ``ENCODERS`` registry that runs it; for a family of architectures
            the one that is meant follows a colon, such as ``timm:resnet18``.
        tile_px: Side of the tiles that it takes, in pixels.
        mpp: Microns per pixel of those tiles.
        code_size: D, the numbers it gives per tile.
        normalisation: What happens to the bytes first: ``none`` (0..255), ``minus_one_to_one``, or what an
            encoder from elsewhere calls its own.
        licence: Licence of the weights.
        provenance: Where the weights come from.
        half_cosine: Least cosine between codes computed in bfloat16 and in float32, of real tiles; None if it
            was not measured.
        trunk: How the network is built and what it sees, of encoders from elsewhere; None for those whose
            architecture says all.
        projection: Of encoders of architecture ``projected:...``; None for all others.
        stain: What the stains of its training tiles were brought to, and those of slides are before it sees
            them; None: they are left as they are. Only others are written.
    """

    name: str
    architecture: str
    tile_px: PositiveInt
    mpp: Number
    code_size: PositiveInt
    normalisation: str = "minus_one_to_one"
    licence: str = "not stated"
    provenance: str = "histonic"
    half_cosine: Number | None = None
    trunk: TrunkDescription | None = None
    projection: ProjectionDescription | None = None
    stain: StainNormalisation | None = None

    @model_serializer(mode="wrap")
    def _without_no_stain(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without("stain", serialize(self))

    @property
    def tool(self) -> str:
        """Who ran the encoder, where its codes were imported; empty if histonic did.

        Example:
            >>> EncoderSpec("uni", f"{ELSEWHERE}:CLAM", 256, 0.5, 1024).tool
            'CLAM'
        """
        kind, _, tool = self.architecture.partition(":")
        return tool if kind == ELSEWHERE else ""


class EncoderDescription(Part):
    """Which encoder made a map, as stored in every map, run and bundle.

    Attributes:
        name: Its name.
        fingerprint: Hash of everything that the codes depend on.
        spec: What it expects and gives.
    """

    name: str
    fingerprint: str
    spec: EncoderSpec


class SlideStain(Part):
    """The stains of a slide that was to be normalised.

    Attributes:
        facts: Its own stains and colours, from which its tiles were changed; None: they were left.
        left: Why they were.
    """

    facts: StainFacts | None = None
    left: str = ""


class SlideDescription(Part):
    """What a map knows of its slide; everything is left out of a map that no slide file stands behind.

    Attributes:
        file: Name of the file.
        path: Where it lay.
        fingerprint: Hash of its content.
        size_wh: Size of level 0 in pixels.
        mpp: Microns per pixel of level 0.
        mpp_source: Where the resolution comes from.
        given_mpp: The resolution that a slide table gave.
        default_mpp: The resolution of the settings, where it was used.
        mask: Hash of the mask file; None if tissue was looked for.
        names: Whether slides that no table names were called by their files or by their paths.
        scanner: As the file says; empty if it does not.
        storage: Format and compression of the pixels; empty if not known.
        enlarged: How many times its pixels were enlarged for the encoder; 1 if they were not.
        stain: Its stains, where they were to be normalised; None elsewhere. Only others are written.
    """

    file: str = ""
    path: str = ""
    fingerprint: str = ""
    size_wh: WH | None = None
    mpp: Number | None = None
    mpp_source: str = ""
    given_mpp: Number | None = None
    default_mpp: Number | None = None
    mask: str | None = None
    names: Literal["file", "path"] = "file"
    scanner: str = ""
    storage: str = ""
    enlarged: Number = 1
    stain: SlideStain | None = None

    @model_serializer(mode="wrap")
    def _without_no_stain(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without("stain", serialize(self))


class ReaderDescription(Part):
    """What read a slide.

    Attributes:
        name: Its name.
        version: Its version.
        note: What is to be known of how it was read, such as why another reader was passed over.
    """

    name: str = ""
    version: str = ""
    note: str = ""


class EncodingDescription(Part):
    """How the arithmetic of an encoder was done for a map.

    The engines give codes that are equal within a tolerance; the same engine, batch and kind of machine give
    the same bytes.

    Attributes:
        engine: ``eager``: layer by layer; ``compiled``: as one program made for this kind of machine.
        batch: Tiles at a time.
        machine: Kind of machine and version of torch.
    """

    engine: Engine
    batch: PositiveInt
    machine: str


class MapSettings(Part):
    """What else a map depends on.

    Attributes:
        orientations: 1, or 8 if turned and mirrored tiles were encoded too.
        precision: Arithmetic of the encoder.
        tissue: How tissue was told from glass; None if the map was not made from a slide.
        mask: What in masks from outside was taken as tissue.
        most_enlargement: How many times coarser slides were allowed to be enlarged.
        leave_out: For which flaws cells of tissue were left out.
        exact_averaging: Whether tiles coarser than the stored pixels are their exact means; if not, a decoder
            of JPEG may have made them. Maps of versions that do not say so are exact.
        stride_px: Step from tile to tile, in pixels of the tiles; None: tiles touch. Only others are written.
        stain: What the stains of slides were brought to; None: they were left as they are. Only others are
            written.
    """

    orientations: Literal[1, 8] = 1
    precision: Precision = "32"
    tissue: TissueSettings | None = None
    mask: MaskSettings = MaskSettings()
    most_enlargement: Number = MOST_ENLARGEMENT
    leave_out: tuple[Flaw, ...] = ()
    exact_averaging: bool = True
    stride_px: PositiveInt | None = None
    stain: StainNormalisation | None = None

    @model_serializer(mode="wrap")
    def _without_the_usual(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without("stain", _without("stride_px", serialize(self)))


class PatientPart(Part):
    """One of several stains or scales.

    Attributes:
        name: That of its store's folder.
        encoder: What made its maps.
        compress_settings: How they were made.
        code_size: D of its codes.
    """

    name: str
    encoder: EncoderDescription
    compress_settings: MapSettings
    code_size: PositiveInt


@dataclass(frozen=True, repr=False)
class CompressedSlide:
    """A whole slide as codes on a grid.

    Attributes:
        slide_id: Name of the slide in store and tables.
        features: ``(D, R, K)`` float16, zero where the mask is False. Empty is not zero: ask the mask. Those
            of a store are read from the disk where they are indexed: ``features[:, mask]`` are the codes
            ``(D, N)`` of the cells with tissue, ``features.numpy()`` and ``torch.from_dlpack(features)`` all
            of it in memory.
        mask: ``(R, K)`` bool, True where the cell holds tissue and a code.
        grid: Geometry of the cells.
        encoder: What made it.
        slide: What is known of the slide's file.
        reader: What read the slide.
        settings: What else the map depends on.
        orientations: ``(8, D, R, K)`` float16 codes of turned tiles, *in the unturned grid*; None if
            only the upright one was encoded.
        picture: Where the slide's thumbnail lies in its store; None of a map in memory.
        parts: ``(R, K)`` uint8, of a map joined of several parts of a patient the number of each cell's part,
            from 1, and 0 where the mask is False; None for all other maps.
    """

    slide_id: str
    features: ArrayLike3
    mask: npt.NDArray[np.bool_]
    grid: TileGrid
    encoder: EncoderDescription
    slide: SlideDescription = field(default_factory=SlideDescription)
    reader: ReaderDescription = field(default_factory=ReaderDescription)
    settings: MapSettings = field(default_factory=MapSettings)
    orientations: ArrayLike3 | None = None
    picture: Path | None = None
    parts: npt.NDArray[np.uint8] | None = None

    def __repr__(self) -> str:
        return self._card().text()

    def _repr_html_(self) -> str:
        try:
            return self._card().html(None if self.picture is None else self.picture.read_bytes())
        except OSError:  # the picture was moved since
            return self._card().html()

    def _card(self) -> Card:
        (rows, cols), grid, size = self.mask.shape, self.grid, self.slide.size_wh
        views = "" if self.orientations is None else f", {ORIENTATIONS} orientations"
        wide, high = (round(count * grid.cell_um / 1000, 1) for count in (cols, rows))
        shown = [
            ("grid", f"{rows} rows x {cols} columns, {wide:g} mm wide, {high:g} mm high"),
            ("cells with tissue", share_text(int(np.count_nonzero(self.mask)), self.mask.size)),
            ("cell", f"{grid.cell_um:.4g} µm, tiles of {grid.tile_px} px at {grid.mpp:.4g} mpp"),
            ("encoder", f"{self.encoder.name}, {self.code_size} numbers a cell{views}"),
        ]
        if size is not None:
            mpp = "" if self.slide.mpp is None else f" at {self.slide.mpp:.4g} mpp"
            shown.append(("slide", f"{size[0]} x {size[1]} px{mpp}"))
        return Card(f"CompressedSlide {self.slide_id!r}", tuple(shown))

    @property
    def code_size(self) -> int:
        """D, the numbers per cell."""
        return int(self.features.shape[0])

    @property
    def knows_level0(self) -> bool:
        """Whether pixels of its grid are those of the slide's level 0.

        Of codes that were imported with positions in microns alone they are those of the tiles.
        """
        return not self.encoder.spec.tool or self.slide.mpp is not None

    def thumbnail(self) -> npt.NDArray[np.uint8]:
        """The picture that its store keeps of the slide, with the cells that hold codes outlined.

        Returns:
            uint8 ``(h, w, 3)`` RGB of the whole slide.

        Raises:
            StoreError: There is none, or it is damaged.
        """
        from PIL import Image

        asked = f"Show the slide {self.slide_id!r}."
        if self.picture is None or not self.picture.is_file():
            raise StoreError(
                asked, "Its store keeps no picture of it.", "Open the slide: open_slide(PATH).thumbnail()."
            )
        try:
            with Image.open(self.picture) as picture:
                return np.asarray(picture.convert("RGB"))
        except OSError as error:
            raise StoreError(
                asked, f"{self.picture} cannot be read: {error}.", "Compress it again with --replace."
            ) from error

    def oriented(self, orientation: int) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.bool_]]:
        """Features and mask turned by one of the eight orientations.

        The grid turns in any case; the tiles turn with it if the eight orientations were encoded.

        Args:
            orientation: 0 to 7, see :func:`orient`.

        Returns:
            ``(D, R, K)`` float16 and ``(R, K)`` bool, R and K exchanged for odd quarter turns.
        """
        codes = self.features[:] if self.orientations is None else self.orientations[orientation]
        return orient(np.asarray(codes), orientation), orient(self.mask, orientation)


@dataclass(frozen=True)
class CellMap:
    """One number per cell of a compressed slide, such as what an explanation gives.

    Attributes:
        slide_id: Name of the slide.
        values: ``(R, K)`` float32, NaN outside the mask.
        grid: Geometry of the cells, the same as of the map it was computed from.
        meaning: What the number says, with its direction and unit.
    """

    slide_id: str
    values: npt.NDArray[np.float32]
    grid: TileGrid
    meaning: str
