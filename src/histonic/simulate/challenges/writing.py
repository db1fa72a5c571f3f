"""Which miniatures there are, and writing one."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path

from histonic.core.errors import SettingsError
from histonic.core.files import require_writable_folder
from histonic.simulate.challenges import tiles, whole_slides

MINIATURES: Mapping[str, Callable[[Path, int], None]] = {
    "tupac16": whole_slides.write_tupac16,
    "camelyon16": whole_slides.write_camelyon16,
    "camelyon17": whole_slides.write_camelyon17,
    "panda": whole_slides.write_panda,
    "patchcamelyon": tiles.write_patchcamelyon,
    "nct-crc": tiles.write_nct_crc,
    "bach": tiles.write_bach,
    "breakhis": tiles.write_breakhis,
    "midog": tiles.write_midog,
    "tcga-survival": whole_slides.write_tcga_survival,
    "liver": whole_slides.write_liver,
}
"""Name of the recipe to what writes its miniature."""


def simulate_challenge(name: str, out: str | Path, seed: int = 0) -> Path:
    """Write a miniature of a public challenge: few simulated images under the organisers' names.

    Names, folders, headers and codes are exactly theirs; numbers of cases, sizes and pixels are not.

    Args:
        name: Of the recipe.
        out: Folder to write; one that holds files is refused.
        seed: Of images and labels.

    Returns:
        The folder.

    Raises:
        SettingsError: There is no such challenge, or the folder holds files.
        OutputError: It cannot be written.
    """
    folder = Path(out)
    if name not in MINIATURES:
        near = difflib.get_close_matches(name.lower(), MINIATURES, n=1)
        raise SettingsError(
            f"Simulate the challenge {name!r}.",
            "There is no such miniature.",
            f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(MINIATURES)}.",
        )
    if folder.is_dir() and any(folder.iterdir()):
        raise SettingsError(
            f"Simulate {name} in {folder}.", "The folder holds files.", "Choose another --out."
        )
    MINIATURES[name](require_writable_folder(folder), seed)
    return folder
