"""One level of a DICOM slide: its frames are found by wsidicom and decoded here, by several threads.

The decoders of wsidicom are passed by: that of uncompressed frames keeps the frame in an object that threads
share, and a JPEG stream is believed to be RGB where only the header says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import simplejpeg
from wsidicom import errors
from wsidicom.geometry import Point

from histonic.core.errors import UnreadableSlideError
from histonic.core.units import WH
from histonic.slides.damage import BROKEN
from histonic.slides.formats.codestreams import stored_size
from histonic.slides.formats.dicom.headers import JPEG_BASELINE, DicomFile, damaged, said
from histonic.slides.formats.tiled import JPEG_REDUCTIONS, TiledLevel

Block = npt.NDArray[np.uint8]
NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
JPEG_NUMBER, JPEG_2000_NUMBER = 7, 34712
JPEG_START = b"\xff\xd8"
JFIF = b"JFIF\0"
# Adobe's APP14 marker with colour transform 0: the three components are red, green and blue.
ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
HEAD_BYTES = 1_024
REFUSED = (
    *BROKEN,
    *(each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)),
)
"""What decoders and wsidicom raise."""
CODECS: dict[str, Callable[[bytes], Any]] = {
    "1.2.840.10008.1.2.4.57": imagecodecs.jpeg8_decode,
    "1.2.840.10008.1.2.4.70": imagecodecs.jpeg8_decode,
    "1.2.840.10008.1.2.4.80": imagecodecs.jpegls_decode,
    "1.2.840.10008.1.2.4.81": imagecodecs.jpegls_decode,
    "1.2.840.10008.1.2.4.90": imagecodecs.jpeg2k_decode,
    "1.2.840.10008.1.2.4.91": imagecodecs.jpeg2k_decode,
    "1.2.840.10008.1.2.4.201": imagecodecs.jpeg2k_decode,
    "1.2.840.10008.1.2.4.202": imagecodecs.jpeg2k_decode,
    "1.2.840.10008.1.2.4.203": imagecodecs.jpeg2k_decode,
}
"""Decoders by transfer syntax: lossless JPEG, JPEG-LS, JPEG 2000 and its high-throughput kind."""
NAMES = {
    JPEG_BASELINE: "jpeg",
    "1.2.840.10008.1.2.4.57": "lossless jpeg",
    "1.2.840.10008.1.2.4.70": "lossless jpeg",
    "1.2.840.10008.1.2.4.80": "jpeg-ls",
    "1.2.840.10008.1.2.4.81": "jpeg-ls",
    "1.2.840.10008.1.2.4.90": "jpeg 2000",
    "1.2.840.10008.1.2.4.91": "jpeg 2000",
    "1.2.840.10008.1.2.4.201": "high-throughput jpeg 2000",
    "1.2.840.10008.1.2.4.202": "high-throughput jpeg 2000",
    "1.2.840.10008.1.2.4.203": "high-throughput jpeg 2000",
    **dict.fromkeys(NATIVE, "uncompressed"),
}
"""What is read, in words."""


@dataclass(frozen=True)
class Chosen:
    """Images of one area at one focus, finest first.

    Attributes:
        images: The image data as wsidicom opened them.
        files: A file of each.
        planes: Images of the finest level, which are focal planes.
        others: Images of other areas, left out.
    """

    images: Sequence[Any]
    files: Sequence[DicomFile]
    planes: int
    others: int


def choose_levels(instances: Sequence[Any], files: Sequence[DicomFile]) -> Chosen:
    """The levels of the largest area of a series.

    Args:
        instances: Images as wsidicom opened them.
        files: The files of the levels.
    """
    by_path = {str(file.path): file for file in files}
    found = [(each.image_data, by_path[str(each.image_data.files[0])]) for each in instances]
    found.sort(key=lambda pair: (-math.prod(pair[1].wh), pair[0].default_z, pair[1].path.name))
    finest = found[0][1]
    same = [pair for pair in found if pair[1].shows_area_of(finest)]
    sizes = sorted({pair[1].wh for pair in same}, key=math.prod, reverse=True)
    planes = [[pair for pair in same if pair[1].wh == size] for size in sizes]
    middle = [each[len(each) // 2] for each in planes]
    return Chosen(
        [image for image, _ in middle],
        [file for _, file in middle],
        len(planes[0]),
        len(found) - len(same),
    )


class DicomLevel(TiledLevel):
    """A level: the frames of one image, which may be spread over several files.

    Args:
        image: The image data as wsidicom opened them.
        file: A file of the image.
        path: The slide, for messages.

    Raises:
        UnreadableSlideError: Frames lie beside the grid of tiles, or upon each other.
    """

    def __init__(self, image: Any, file: DicomFile, path: Any) -> None:
        self.wh, self.block_wh = WH(*file.wh), WH(*file.tile_wh)
        self._image = image
        self._file = file
        self._path = path
        self._z = image.default_z
        self._optics = image.default_path
        self.planes = len(image.focal_planes)
        self._frames = self._places()
        self.reductions = JPEG_REDUCTIONS if file.syntax == JPEG_BASELINE else ()

    @property
    def block_bytes(self) -> int:
        """Bytes of a decoded stored tile."""
        return self.block_wh.w * self.block_wh.h * 3

    def offset(self, index: int) -> int:
        """The frame that holds a tile."""
        return int(self._frames[index])

    def stored(self) -> npt.NDArray[np.int64]:
        """Indices of the tiles that have a frame, ascending."""
        return np.flatnonzero(self._frames >= 0)

    def decode(self, index: int) -> Block:
        """A stored tile as RGB, uint8 ``(h, w, 3)``; a tile without a frame is white.

        Raises:
            UnreadableSlideError: The frame is damaged.
        """
        return self.decode_reduced(index, 1)

    def decode_reduced(self, index: int, factor: int) -> Block:
        """A stored tile made smaller by the decoder of JPEG, see :class:`TiledLevel`.

        Raises:
            UnreadableSlideError: The frame is damaged.
        """
        if self._frames[index] < 0:
            return np.full((self.block_wh.h // factor, self.block_wh.w // factor, 3), 255, np.uint8)
        try:
            return self._pixels(self.frame(index), factor)
        except REFUSED as error:
            raise UnreadableSlideError(
                f"Decode tile {index} of {self._path}.",
                f"{type(error).__name__}: {said(error)}.",
                "The file is damaged: copy or export it again.",
            ) from error

    def require_all_files(self, files: Sequence[DicomFile]) -> None:
        """Refuse a level of which wsidicom passed over a part.

        Raises:
            UnreadableSlideError: It did.
        """
        parts = {str(file.path) for file in files if file.image == self._file.image}
        if parts != {str(file) for file in self._image.files}:
            raise damaged(self._path, f"a part of its level of {self.wh.w} x {self.wh.h} px cannot be read")

    def frame(self, index: int) -> bytes:
        """The bytes of a tile as they are stored."""
        row, column = divmod(index, self.columns)
        data = self._image.get_encoded_tile(Point(column, row), self._z, self._optics)
        return bytes(data)

    def _pixels(self, frame: bytes, factor: int) -> Block:
        syntax = self._file.syntax
        width, height = (side // factor for side in self.block_wh)
        if syntax in NATIVE:
            if len(frame) != self.block_bytes:
                raise ValueError(f"it has {len(frame):,} bytes, not {self.block_bytes:,}")
            pixels: Any = np.frombuffer(frame, np.uint8).reshape(self.block_wh.h, self.block_wh.w, 3)
        elif syntax == JPEG_BASELINE:
            self._require_size(frame, JPEG_NUMBER)
            pixels = simplejpeg.decode_jpeg(
                self._with_colours(frame),
                colorspace="RGB",
                min_width=width,
                min_height=height,
                min_factor=factor,
            )
        else:
            if CODECS[syntax] is imagecodecs.jpeg2k_decode:
                self._require_size(frame, JPEG_2000_NUMBER)
            pixels = np.asarray(CODECS[syntax](frame))
        if pixels.shape != (height, width, 3) or pixels.dtype != np.uint8:
            raise ValueError(f"it is decoded to {pixels.shape} of {pixels.dtype}")
        block: Block = pixels
        return block

    def _with_colours(self, frame: bytes) -> bytes:
        """A JPEG stream that says so if it is RGB.

        Some writers state RGB in the header whatever the stream holds. One that has a JFIF marker holds luma
        and chroma, by the standard of that marker.
        """
        head = frame[:HEAD_BYTES]
        if self._file.colours != "RGB" or JFIF in head or b"Adobe" in head:
            return frame
        return JPEG_START + ADOBE_RGB + frame[len(JPEG_START) :]

    def _require_size(self, frame: bytes, number: int) -> None:
        """Refuse a picture of another size before memory is spent on it."""
        found = stored_size(frame, number)
        if found is not None and (found.width, found.height) != tuple(self.block_wh):
            raise ValueError(f"the picture in it has {found.width} x {found.height} px")

    def _places(self) -> npt.NDArray[np.int64]:
        """The frame of each tile, -1 where there is none."""
        tiles, count = self._image.tiles, self.columns * self.rows
        if self._file.is_full or count == 1:
            first = int(tiles.get_frame_index(Point(0, 0), self._z, self._optics))
            return np.arange(first, first + count)
        # Columns first, as wsidicom keeps them.
        frames: npt.NDArray[np.int64] = tiles.planes[(self._z, self._optics)].plane.T.ravel()
        if len(frames) != count:
            raise damaged(self._path, f"{len(frames)} places of tiles are told, not {count}")
        self._require_grid(frames)
        return frames

    def _require_grid(self, frames: npt.NDArray[np.int64]) -> None:
        """Frames may have any place; read are those on the grid of the tiles, once each."""
        wide, high = self.block_wh
        total = 0
        for dataset in self._image._datasets:
            places = dataset.frame_positions
            total += len(places.columns)
            if ((places.columns - 1) % wide).any() or ((places.rows - 1) % high).any():
                raise damaged(self._path, "its tiles do not lie side by side")
        if self.planes == 1 and (frames >= 0).sum() != total:
            raise damaged(self._path, "several of its tiles lie upon each other")
