"""The forms of other tools' features, in the order in which a folder is tried."""

from __future__ import annotations

from itertools import pairwise

from histonic.core.errors import SettingsError
from histonic.data.exchange.tile_features import Form, Found, Request
from histonic.data.exchange.tools import (
    anndata_files,
    arrays,
    atlaspatch,
    clam,
    hs2p,
    parquet_files,
    spatialdata,
    stamp,
    trident,
)

FORMS: tuple[Form, ...] = (
    spatialdata.FORM, clam.FORM, hs2p.FORM, atlaspatch.FORM, trident.FORM, stamp.FORM, anndata_files.FORM,
    parquet_files.FORM, arrays.FORM,
)  # fmt: skip


def find_slides(request: Request, name: str = "auto") -> tuple[Form, list[Found]]:
    """The form of a folder, and the slides in it, sorted by name.

    Args:
        request: The folder, and what the user says of it.
        name: Of the form; ``auto`` takes the first that the folder is of.

    Raises:
        SettingsError: The folder is of no form, two files have one name, or the form needs to be told more.
    """
    asked = f"Import the features in {request.folder}."
    if not request.folder.is_dir():
        raise SettingsError(asked, "There is no such folder.", "Give the folder of the features.")
    for form in FORMS:
        if name not in ("auto", form.name):
            continue
        found = sorted(form.find(request), key=lambda each: each.slide_id)
        for one, other in pairwise(found):
            if one.slide_id == other.slide_id:
                raise SettingsError(
                    asked,
                    f"Two files are of the slide {one.slide_id!r}: {one.path} and {other.path}.",
                    "Give one of their folders, or name slides by their folders, too: --names path.",
                )
        if found:
            return form, found
    tools = ", ".join(form.tool for form in FORMS) if name == "auto" else name
    raise SettingsError(
        asked,
        f"It holds nothing that looks like features of tiles of {tools}.",
        "Give the folder that the tool wrote, or say whose it is: --form NAME.",
    )
