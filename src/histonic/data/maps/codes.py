"""The codes of a map as they lie on the disk: sliced and indexed as an array, read piece by piece."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from histonic.core.errors import StoreError
from histonic.data.maps.integrity import FACTS_FILE

AGAIN = "Delete it and run the same 'histonic compress' command again."


def damaged(folder: Path, found: str) -> StoreError:
    """The error of a map that cannot be read."""
    return StoreError(f"Read the map {folder}.", found, AGAIN)


class Written(NamedTuple):
    """By what another map in the place of one is noticed: its facts' time, size, file and content.

    The time alone does not do: two that were written within the grain of the file system's clock share it.
    Nor does the file's number: sshfs, s3fs and CIFS may give the same file another one at any time.
    """

    mtime_ns: int
    size: int
    file: int
    facts: bytes

    def is_at(self, folder: Path) -> bool:
        """Whether it is still this map that lies at a place."""
        path = folder / FACTS_FILE
        try:
            found = path.stat()
            if (found.st_mtime_ns, found.st_size) != (self.mtime_ns, self.size):
                return False
            return found.st_ino == self.file or _hash_of(path) == self.facts
        except OSError:
            return False


def written_at(folder: Path) -> Written | None:
    """What the map at a place was written as; None if there is none."""
    path = folder / FACTS_FILE
    try:
        found = path.stat()
        return Written(found.st_mtime_ns, found.st_size, found.st_ino, _hash_of(path))
    except OSError:
        return None


def _hash_of(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


@dataclass(frozen=True, repr=False)
class StoredCodes:
    """An array of a map, read when it is indexed; damage is named where it is met.

    Indices mean what they mean to NumPy. Slices read what they cover, and ``codes[:, mask]`` reads row by row
    of chunks where the mask is True, so that memory holds the result and one such row. What Zarr cannot say
    (two lists of cells at once, steps backwards) is answered from the whole array, read for it.

    Attributes:
        array: The Zarr array.
        folder: The map it belongs to.
        written: Of the map that was opened, see :func:`written_at`; None: not to be compared.
    """

    array: Any
    folder: Path
    written: Written | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return tuple(self.array.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers."""
        found: np.dtype[Any] = np.dtype(self.array.dtype)
        return found

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array in memory."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        parts = self._spelled_out(key)
        if parts is None:
            return self._read(())[key]
        *lead, last = parts
        if _is_mask(last) and all(isinstance(part, slice) for part in lead):
            return self._masked(tuple(lead), np.asarray(last))
        lists = [part for part in parts if not isinstance(part, int | slice)]
        whole = all(isinstance(part, slice) for part in parts if not _is_list(part))
        if not lists or (len(lists) == 1 and _is_list(lists[0]) and whole):
            return self._read(parts)
        return self._read(())[key]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """The whole array in memory, for ``np.asarray``.

        Raises:
            ValueError: No copy was wanted; what lies on the disk can only be copied.
        """
        if copy is False:
            raise ValueError("Codes on the disk cannot be had in memory without a copy.")
        found = np.asarray(self._read(()))
        return found if dtype is None else found.astype(dtype, copy=False)

    def numpy(self) -> npt.NDArray[Any]:
        """All of it in memory, as an array of its own."""
        return np.array(self._read(()))

    def __dlpack__(self, **options: Any) -> Any:
        """All of it in memory, for ``torch.from_dlpack``, which makes a tensor of it."""
        return self.numpy().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """That is the memory of the CPU."""
        return (1, 0)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.shape))
        return f"StoredCodes({shape} {self.dtype}, {self.nbytes / 2**20:.1f} MiB on reading, {self.folder})"

    def _spelled_out(self, key: Any) -> tuple[Any, ...] | None:
        """The index with plain numbers and without an ellipsis; None if it has to be left to NumPy."""
        parts = list(key) if isinstance(key, tuple) else [key]
        for place, part in enumerate(parts):
            if isinstance(part, np.integer):
                parts[place] = int(part)
        if any(part is None or isinstance(part, bool | np.bool_) for part in parts):
            return None
        if any(isinstance(part, slice) and _runs_backwards(part) for part in parts):
            return None
        gaps = [place for place, part in enumerate(parts) if part is Ellipsis]
        missing = self.ndim - sum(_axes(part) for part in parts if part is not Ellipsis)
        if len(gaps) > 1 or missing < 0:
            return None
        where = gaps[0] if gaps else len(parts)
        parts[where : where + len(gaps)] = [slice(None)] * missing
        return tuple(parts)

    def _masked(self, lead: tuple[slice, ...], mask: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
        nothing = np.broadcast_to(np.zeros((), self.dtype), self.shape)
        # NumPy refuses a mask of another shape in its own words, and says how large the result is.
        result: npt.NDArray[Any] = nothing[lead][..., mask]
        band, done = int((self.array.shards or self.array.chunks)[-2]), 0
        for top in range(0, mask.shape[0], band):
            here = mask[top : top + band]
            cols = np.flatnonzero(here.any(axis=0))
            if not len(cols):
                continue
            left, right = int(cols[0]), int(cols[-1]) + 1
            read = self._read((*lead, slice(top, top + len(here)), slice(left, right)))
            found = np.asarray(read)[..., here[:, left:right]]
            result[..., done : done + found.shape[-1]] = found
            done += found.shape[-1]
        return result

    def _read(self, key: tuple[Any, ...]) -> Any:
        try:
            found = self.array[key or slice(None)]
        except (OSError, ValueError, RuntimeError) as error:
            self._require_same()
            raise damaged(self.folder, f"Its codes cannot be read: {error}.") from error
        self._require_same()
        return found

    def _require_same(self) -> None:
        """Zarr takes chunks that are gone for zeros, and those of another map for this one's."""
        if self.written is not None and not self.written.is_at(self.folder):
            raise StoreError(
                f"Read the map {self.folder}.",
                "It was replaced or removed after it was opened.",
                "Open it again: run the same command again.",
            )


def _is_mask(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.dtype == bool and part.ndim == 2


def _is_list(part: Any) -> bool:
    """Whether Zarr takes it for what NumPy does: a list of whole numbers, or of marks, along one axis."""
    if not isinstance(part, list | np.ndarray):
        return False
    found = np.asarray(part)
    return found.ndim == 1 and found.size > 0 and found.dtype.kind in "iub"


def _axes(part: Any) -> int:
    """How many axes of the array one part of an index stands for."""
    found = np.asarray(part) if isinstance(part, list | np.ndarray) else None
    return found.ndim if found is not None and found.dtype == bool else 1


def _runs_backwards(part: slice) -> bool:
    return part.step is not None and int(part.step) < 0
