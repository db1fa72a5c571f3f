"""Maps of a store to the files of another tool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Unpack

from histonic.core.compressed import CompressedSlide
from histonic.core.errors import SettingsError, StoreError
from histonic.core.files import require_writable_folder
from histonic.core.notebooks.results import Result
from histonic.core.progress import Progress, heard
from histonic.core.settings import resolve
from histonic.data.exchange.carried import upright_note
from histonic.data.exchange.tools import anndata_files, clam, parquet_files, spatialdata, stamp, trident
from histonic.data.maps.facts import MapFacts, read_checked_facts
from histonic.data.maps.required import require_maps
from histonic.data.maps.store import Store, map_folder
from histonic.stages.exchange.settings import ExportKeywords, ExportSettings
from histonic.stages.exchange.tensors import TorchFiles

Write = Callable[[Path, CompressedSlide, MapFacts], Path]
LEVEL0_FORMS = ("trident", "clam", "anndata", "spatialdata", "parquet")
"""Those whose positions are pixels of level 0."""


@dataclass(repr=False)
class ExportResult(Result):
    """What an export did.

    Attributes:
        out: The folder.
        done: Slides written.
    """

    out: Path
    done: list[str] = field(default_factory=list)


def export_features(
    settings: ExportSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[ExportKeywords],
) -> ExportResult:
    """Write the maps of a store as another tool keeps features.

    Names, types and attributes are that tool's. Beside the features stands what histonic knows of the map, so
    that :func:`~histonic.stages.exchange.importing.import_features` gives the same map again, bit for bit,
    with its encoder's fingerprint. Of maps with turned codes the upright ones are written.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name: ``store``, ``to``, ``out``.

    Raises:
        StoreError: The store is absent, empty or damaged.
        SettingsError: A package that writes the form is not installed, or the maps know no level 0.
        OutputError: The folder cannot be written.
    """
    resolved = resolve(ExportSettings, settings, values)
    listener = heard(progress)
    store = Store.open(resolved.store)
    if store.parts:
        found = f"It is a folder of {len(store.parts)} stores: {', '.join(store.parts)}."
        raise StoreError(f"Export the store {resolved.store}.", found, "Export one after the other.")
    require_maps(store, f"Export the store {resolved.store}.")
    write = _writers()[resolved.to]
    require_writable_folder(resolved.out)
    result = ExportResult(resolved.out)
    listener.stage("export", len(store.slide_ids))
    for number, slide_id in enumerate(store.slide_ids):
        slide, facts = store.map(slide_id), read_checked_facts(map_folder(store.path, slide_id))
        if resolved.to in LEVEL0_FORMS and not slide.knows_level0:
            raise SettingsError(
                f"Export {slide_id!r} as {resolved.to}.",
                "Its positions are known in microns, not in pixels of level 0, which that form needs.",
                "Import the features again with --slides TABLE or --mpp, or export --to stamp.",
            )
        if number == 0 and (note := upright_note(slide)):
            listener.say(note)
        write(resolved.out, slide, facts)
        result.done.append(slide_id)
        listener.advance(note=slide_id)
    return result


def _writers() -> dict[str, Write]:
    return {
        "trident": trident.write,
        "stamp": stamp.write,
        "clam": lambda out, slide, facts: clam.write(out, slide, facts, TorchFiles()),
        "anndata": anndata_files.write,
        "spatialdata": spatialdata.write,
        "parquet": parquet_files.write,
    }
