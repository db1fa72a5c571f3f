"""How slides are called, in every table and store: by the file name without extension, or by its path."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from histonic.core.places.urls import Url, is_url
from histonic.data.text import loose_key, tidy

SLIDE_EXTENSIONS = (
    ".ome.tiff",
    ".ome.tif",
    ".ome.btf",
    ".svs",
    ".tiff",
    ".tif",
    ".btf",
    ".ndpi",
    ".mrxs",
    ".scn",
    ".bif",
    ".dcm",
    ".vms",
    ".vmu",
    ".svslide",
    ".czi",
)
"""File names that count as slides when a folder is searched."""
PICTURE_EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".png", ".mpo")
"""The same for a folder without any of these; beside slides they are labels, masks and previews."""

_FEATURE_EXTENSIONS = (".zarr", ".h5", ".hdf5", ".pt", ".npy", ".npz")


def slide_name(path: str) -> str:
    """The slide's name: no folder, no known extension.

    Only known extensions are cut, because slide names may hold dots themselves.

    Args:
        path: File name, path (either kind of slash), URL or bare slide name.

    Example:
        >>> slide_name("a/TCGA-2F.195576CF.svs"), slide_name("TCGA-2F.195576CF"), slide_name("b.ome.tif")
        ('TCGA-2F.195576CF', 'TCGA-2F.195576CF', 'b')
        >>> slide_name("https://host.org/x/a%20b.svs?signature=1/2.tif")
        'a b'
    """
    if is_url(path):
        path = Url(path).name
    name = path.strip().replace("\\", "/").rstrip("/").rpartition("/")[2]
    for ending in (*SLIDE_EXTENSIONS, *PICTURE_EXTENSIONS, *_FEATURE_EXTENSIONS):
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


PATH_SIGN = "__"
"""What stands between the folders of a name that is made from a path."""


def path_name(path: str) -> str:
    r"""The slide's name made from its whole path: folders and file name, no known extension.

    Args:
        path: Either kind of slash; what only says where to begin (``/``, ``C:``, ``..``) does not count.

    Example:
        >>> path_name("viable/case 4/a.svs"), path_name("./a.svs"), path_name(r"..\b\a.jpg")
        ('viable__case 4__a', 'a', 'b__a')
    """
    return PATH_SIGN.join(path_steps(path))


def names_by_path(path: str) -> list[tuple[str, tuple[str, ...]]]:
    """Every name that a path with folders gives to who searched one of its folders, and what comes before.

    Args:
        path: As a table writes it.

    Returns:
        The longest first; the file name alone is none of them.

    Example:
        >>> names_by_path("set/viable/a.jpg")
        [('set__viable__a', ()), ('viable__a', ('set',))]
    """
    steps = path_steps(path)
    return [(PATH_SIGN.join(steps[begin:]), tuple(steps[:begin])) for begin in range(len(steps) - 1)]


def path_steps(path: str) -> list[str]:
    """Folders and file name of a path, see :func:`path_name`.

    Example:
        >>> path_steps("/data/viable/a.jpg")
        ['data', 'viable', 'a']
    """
    parts = [part.strip() for part in path.strip().replace("\\", "/").split("/")]
    parts = [part for part in parts if part not in ("", ".", "..") and not part.endswith(":")]
    return [*parts[:-1], slide_name(parts[-1])] if parts else []


def match_by_patient(slide_id: str, patient_ids: Collection[str]) -> list[str]:
    """The patients whose identifier is the slide's name, or begins it.

    Used only for tables that name patients but no slides. The whole name decides if it equals an
    identifier; else every identifier that is followed in the name by one of ``- _ .`` or a blank, as in
    TCGA's ``TCGA-2F-A9KO`` and ``TCGA-2F-A9KO-01Z-00-DX1``. Only if there is none, identifiers count that
    differ in case, blanks, hyphens or underscores, see :func:`histonic.data.text.loose_key`.

    Returns:
        No, one or (ambiguous) several identifiers, sorted.

    Example:
        >>> match_by_patient("P1-a", {"P1", "P2"}), match_by_patient("P10", {"P1"})
        (['P1'], [])
        >>> match_by_patient("case 1_HE", {"CASE-1"})
        ['CASE-1']
    """
    return PatientNames(patient_ids).match(slide_id)


class PatientNames:
    """Identifiers that many slides are matched with, see :func:`match_by_patient`.

    Args:
        patient_ids: The identifiers.
    """

    def __init__(self, patient_ids: Collection[str]) -> None:
        self._exact = set(patient_ids)
        self._by_key: dict[str, list[str]] = {}
        for name in sorted(self._exact):
            self._by_key.setdefault(loose_key(name), []).append(name)

    def match(self, slide_id: str) -> list[str]:
        """The patients of a slide."""
        if slide_id in self._exact:
            return [slide_id]
        heads = [slide_id[:cut] for cut, letter in enumerate(slide_id) if letter in "-_. "]
        exact = sorted(set(heads) & self._exact)
        if exact:
            return exact
        whole = self._by_key.get(loose_key(slide_id))
        if whole:
            return whole
        keys = {loose_key(head) for head in heads} - {""}
        return sorted({name for key in keys for name in self._by_key.get(key, ())})


def present_path(path: Path) -> Path:
    """The file that is meant: of that name, or of one that only looks the same.

    An accent may be a letter with it or two signs in a file's name, whatever the table has.
    """
    if str(path).isascii() or path.exists():
        return path
    found = Path(path.anchor)
    for part in path.relative_to(path.anchor).parts:
        step = found / part
        if not step.exists() and found.is_dir():
            alike = [name for name in sorted(os.listdir(found)) if tidy(name) == tidy(part)]
            step = found / alike[0] if len(alike) == 1 else step
        found = step
    return found
