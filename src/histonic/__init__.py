"""histonic: neural image compression for computational pathology.

Slides and a label table in, a cross-validated patient-level model and a report out. The names below
are the public face; they are loaded on first use, so that ``import histonic`` is light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from histonic.app.report import write_report
    from histonic.core.compressed import CellMap, CompressedSlide
    from histonic.core.errors import HistonicError
    from histonic.core.grid import TileGrid
    from histonic.core.task import Task
    from histonic.data.maps.store import Store
    from histonic.encoders.base import load_encoder
    from histonic.encoders.networks.released import import_encoder
    from histonic.slides.base import open_slide
    from histonic.slides.formats.array import ArraySlide
    from histonic.stages.audit import audit
    from histonic.stages.compare_runs import compare_runs
    from histonic.stages.compress import compress
    from histonic.stages.evaluate import evaluate_run
    from histonic.stages.explain import explain
    from histonic.stages.external import external_test
    from histonic.stages.extract_tiles import extract_tiles
    from histonic.stages.predict import predict
    from histonic.stages.simulate_mosaic import simulate_mosaic
    from histonic.stages.study_tasks import study_tasks
    from histonic.stages.train_encoder import train_encoder
    from histonic.stages.train_slides import train_slides
    from histonic.stages.transfer import transfer

_HOMES = {
    "ArraySlide": "histonic.slides.formats.array",
    "CellMap": "histonic.core.compressed",
    "CompressedSlide": "histonic.core.compressed",
    "HistonicError": "histonic.core.errors",
    "Store": "histonic.data.maps.store",
    "Task": "histonic.core.task",
    "TileGrid": "histonic.core.grid",
    "audit": "histonic.stages.audit",
    "compare_runs": "histonic.stages.compare_runs",
    "compress": "histonic.stages.compress",
    "evaluate_run": "histonic.stages.evaluate",
    "explain": "histonic.stages.explain",
    "external_test": "histonic.stages.external",
    "extract_tiles": "histonic.stages.extract_tiles",
    "import_encoder": "histonic.encoders.networks.released",
    "load_encoder": "histonic.encoders.base",
    "open_slide": "histonic.slides.base",
    "predict": "histonic.stages.predict",
    "simulate_mosaic": "histonic.stages.simulate_mosaic",
    "study_tasks": "histonic.stages.study_tasks",
    "train_encoder": "histonic.stages.train_encoder",
    "train_slides": "histonic.stages.train_slides",
    "transfer": "histonic.stages.transfer",
    "write_report": "histonic.app.report",
}

__all__ = [
    "ArraySlide",
    "CellMap",
    "CompressedSlide",
    "HistonicError",
    "Store",
    "Task",
    "TileGrid",
    "audit",
    "compare_runs",
    "compress",
    "evaluate_run",
    "explain",
    "external_test",
    "extract_tiles",
    "import_encoder",
    "load_encoder",
    "open_slide",
    "predict",
    "simulate_mosaic",
    "study_tasks",
    "train_encoder",
    "train_slides",
    "transfer",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'histonic' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
