"""How slides are called: the file name without folder and extension, in every table and store."""

from __future__ import annotations

from collections.abc import Collection

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

_FEATURE_EXTENSIONS = (".zarr", ".h5", ".hdf5", ".pt", ".npy", ".npz")


def slide_name(path: str) -> str:
    """The slide's name: no folder, no known extension.

    Only known extensions are cut, because slide names may hold dots themselves.

    Args:
        path: File name, path (either kind of slash) or bare slide name.

    Example:
        >>> slide_name("a/TCGA-2F.195576CF.svs"), slide_name("TCGA-2F.195576CF"), slide_name("b.ome.tif")
        ('TCGA-2F.195576CF', 'TCGA-2F.195576CF', 'b')
    """
    name = path.strip().replace("\\", "/").rstrip("/").rpartition("/")[2]
    for ending in (*SLIDE_EXTENSIONS, *_FEATURE_EXTENSIONS):
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


def match_by_patient(slide_id: str, patient_ids: Collection[str]) -> list[str]:
    """The patients whose identifier is the slide's name, or begins it.

    Used only for tables that name patients but no slides. The whole name decides if it equals an
    identifier; else every identifier that is followed in the name by one of ``- _ .`` or a blank, as in
    TCGA's ``TCGA-2F-A9KO`` and ``TCGA-2F-A9KO-01Z-00-DX1``.

    Returns:
        No, one or (ambiguous) several identifiers, sorted.

    Example:
        >>> match_by_patient("P1-a", {"P1", "P2"}), match_by_patient("P10", {"P1"})
        (['P1'], [])
    """
    if slide_id in patient_ids:
        return [slide_id]
    cuts = [position for position, letter in enumerate(slide_id) if letter in "-_. "]
    return sorted({slide_id[:cut] for cut in cuts} & set(patient_ids))
