"""The tiled-TIFF family: SVS, generic pyramids, OME-TIFF; every stored tile is decoded once a pass."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import tifffile

from histonic.core.errors import UnreadableSlideError
from histonic.slides.damage import BROKEN, TIFF_STARTS
from histonic.slides.fingerprint import fingerprint_file
from histonic.slides.formats.blocks import Block, Key
from histonic.slides.formats.tiff_colours import UnshownError
from histonic.slides.formats.tiff_level import TiffLevel
from histonic.slides.formats.tiff_mpp import check_units, read_header_mpp
from histonic.slides.formats.tiff_pages import (
    damaged,
    find_levels,
    open_tiff,
    require_size,
    said,
    twins,
    unshown,
)
from histonic.slides.formats.tiled import TiledSlide, reduced
from histonic.slides.resample import average_area
from histonic.slides.scanner import tiff_scanner
from histonic.slides.sources.places import Source
from histonic.slides.sources.remote import RemoteFile

MOST_BLOCK_BYTES = 1_500_000_000
BRIGHTNESS_PROBES = 32


class TiffSlide(TiledSlide):
    """A slide in a TIFF file.

    Args:
        path: The file; one at a URL is opened already.
        tiff: The file as opened by tifffile.
        pages: The stored levels, finest first.
        mpp: Microns per pixel; overrules the header.
        default_mpp: Microns per pixel where the header does not say.
        cache_bytes: Most bytes of decoded stored tiles that are kept; None for what is sensible.
    """

    reader = "tiff"
    reader_version = f"tifffile {tifffile.__version__}"
    extensions = (".svs", ".tif", ".tiff", ".btf", ".tf8", ".tf2")
    starts = TIFF_STARTS

    def __init__(
        self,
        path: Source,
        tiff: tifffile.TiffFile,
        pages: Sequence[Any],
        *,
        mpp: float | None = None,
        default_mpp: float | None = None,
        cache_bytes: int | None = None,
    ) -> None:
        self._tiff = tiff
        self._source = path
        self._levels = [TiffLevel(page, str(path), path) for page in pages]
        super().__init__(
            path.url if isinstance(path, RemoteFile) else path,
            self._levels,
            cache_bytes=cache_bytes,
            header=check_units(read_header_mpp(tiff, pages[0]), pages),
            mpp=mpp,
            default_mpp=default_mpp,
        )
        self.scanner, self.storage = tiff_scanner(tiff, pages[0])
        self._fills_from_finer = bool(pages[0].is_svs)
        more = twins(tiff, pages[0])
        self.note = f"{more} more picture(s) of this size in the file are not read" if more else ""

    @classmethod
    def open(
        cls,
        path: Source,
        *,
        mpp: float | None = None,
        default_mpp: float | None = None,
        cache_bytes: int | None = None,
    ) -> Self:
        """Open a file, on a disk or at a URL.

        Raises:
            NotMine: No TIFF file, or of a kind that is left to OpenSlide.
            UnreadableSlideError: The file is damaged, ends before its pixels do, can only be read all at
                once, or has pixels of a kind that would be shown wrong.
        """
        tiff = open_tiff(path)
        try:
            pages = find_levels(tiff, path)
            slide = cls(path, tiff, pages, mpp=mpp, default_mpp=default_mpp, cache_bytes=cache_bytes)
            require_size(path, max(level.end_of_data for level in slide._levels))
            slide._require_small_blocks()
            slide._require_pixels()
        except UnshownError as error:
            tiff.close()
            raise unshown(path, error) from error
        except BROKEN as error:
            tiff.close()
            raise damaged(path, f"its structure makes no sense ({said(error)})") from error
        except BaseException:
            tiff.close()
            raise
        return slide

    @classmethod
    def open_remote(
        cls, file: RemoteFile, *, mpp: float | None = None, default_mpp: float | None = None
    ) -> Self:
        """Open a file at a URL, see :meth:`open`."""
        return cls.open(file, mpp=mpp, default_mpp=default_mpp)

    def _require_small_blocks(self) -> None:
        largest = max(level.block_bytes for level in self._levels)
        if largest > MOST_BLOCK_BYTES:
            raise UnreadableSlideError(
                f"Open the slide {self.path}.",
                f"Its pixels are stored in pieces of {largest / 1e9:.1f} GB, which must be decoded at once.",
                "Convert it to a tiled pyramid, for instance: vips tiffsave IN OUT.tif --tile --pyramid "
                "--compression jpeg --bigtiff",
            )

    def _require_pixels(self) -> None:
        """Try one tile of each level, so that damage or a codec that is not there is known at once."""
        for number, level in enumerate(self._levels):
            level.prepare()
            stored = level.stored()
            if not len(stored):
                if number == 0:
                    raise damaged(self.path, "no pixel is stored in it")
                continue
            try:
                self.cache.fetch([Key(number, int(stored[0]))])
            except UnreadableSlideError as error:
                raise damaged(
                    self.path, f"its tiles cannot be decoded ({error.found.rstrip('.')})"
                ) from error
        self._require_bright_pixels()

    def _require_bright_pixels(self) -> None:
        """Refuse samples of which only the lower bits are used: as they stand, the slide would be dark."""
        level = self._levels[-1]
        bits = level.colours.bits
        if bits <= 8 or level.colours.palette is not None:
            return
        stored = level.stored()
        some = stored[np.unique(np.linspace(0, len(stored) - 1, BRIGHTNESS_PROBES).astype(int))]
        most = max(int(level.samples(int(index)).max()) for index in some)
        if most < 2 ** (bits - 1):
            raise UnshownError(
                f"its samples have {bits} bits, but none is above {most:,}, so that nobody knows how bright "
                "white is"
            )

    @property
    def fingerprint(self) -> str:
        """Hash of the file, see :func:`fingerprint_file`."""
        return fingerprint_file(self._source)

    def _fetch(self, keys: set[Key]) -> list[tuple[Key, Block]]:
        if not isinstance(self._source, RemoteFile):
            return super()._fetch(keys)
        found: list[tuple[Key, Block]] = []
        for part in self._announced(self._source, self.cache.missing(keys)):
            found += super()._fetch(part)
        held = {key for key, _ in found}
        return found + super()._fetch(keys - held)

    def _announced(self, source: RemoteFile, keys: set[Key]) -> Iterator[set[Key]]:
        """Parts of the tiles, in file order, whose bytes were fetched together and are still kept."""
        part: set[Key] = set()
        ranges: list[tuple[int, int]] = []
        for key in self._in_file_order(keys):
            places = self._levels[key.level].places(key.tile)
            if part and sum(count for _, count in (*ranges, *places)) > source.most_announced:
                source.announce(ranges)
                yield part
                part, ranges = set(), []
            part.add(key)
            ranges += places
        source.announce(ranges)
        yield part

    def _decode_of_level(self, number: int, indices: Sequence[int], factor: int) -> Iterator[Block]:
        level = self._levels[number]
        # Aperio leaves out single tiles of coarser levels although there is tissue on them.
        finer = {index for index in indices if number and self._fills_from_finer and level.is_missing(index)}
        own = level.decode_many([index for index in indices if index not in finer], factor)
        for index in indices:
            yield reduced(self._decode_from_finer(number, index), factor) if index in finer else next(own)

    def _decode_from_finer(self, number: int, index: int) -> Block:
        """A tile that is stored in the next finer level only, averaged; past the cache, which may wait."""
        level, finer = self._levels[number], self._levels[number - 1]
        scale = self._downsample(number) / self._downsample(number - 1)
        x = index % level.columns * level.block_wh.w * scale
        y = index // level.columns * level.block_wh.h * scale
        left, top = math.floor(x), math.floor(y)
        width = min(math.ceil(x + level.block_wh.w * scale), finer.wh.w + math.ceil(scale)) - left
        height = min(math.ceil(y + level.block_wh.h * scale), finer.wh.h + math.ceil(scale)) - top
        pixels = self._assemble(
            number - 1,
            (left, top, width, height),
            lambda keys: list(zip(sorted(keys), self._decode(sorted(keys)), strict=True)),
        )
        wh = (int((width - (x - left)) / scale), int((height - (y - top)) / scale))
        return average_area(pixels, (x - left, y - top), scale, wh)

    def close(self) -> None:
        """Release the file and the decoded tiles."""
        super().close()
        self._tiff.close()
        if isinstance(self._source, RemoteFile):
            self._source.close()
