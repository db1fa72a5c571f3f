"""histonic: neural image compression for computational pathology.

Slides and a label table in, a cross-validated patient-level model and a report out. The names below
are the public face; they are loaded on first use, so that ``import histonic`` is light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from histonic.core.compressed import CellMap, CompressedSlide
    from histonic.core.errors import HistonicError
    from histonic.core.grid import TileGrid
    from histonic.core.task import Task
    from histonic.data.maps.store import Store
    from histonic.encoders.base import load_encoder
    from histonic.simulate.challenges.writing import simulate_challenge
    from histonic.slides.base import open_slide
    from histonic.slides.formats.array import ArraySlide
    from histonic.stages.audit.audit import audit
    from histonic.stages.compare.compare import compare_runs
    from histonic.stages.compress.compress import compress
    from histonic.stages.convert.convert import convert
    from histonic.stages.encoder.imported import import_encoder
    from histonic.stages.encoder.pool import make_pool
    from histonic.stages.encoder.train import train_encoder
    from histonic.stages.evaluate.evaluate import evaluate_run
    from histonic.stages.exchange.exporting import export_features
    from histonic.stages.exchange.importing import import_features
    from histonic.stages.exchange.onnx_files import export_onnx
    from histonic.stages.explain.explain import explain
    from histonic.stages.open.run import Run
    from histonic.stages.predict.external import external_test
    from histonic.stages.predict.predict import predict
    from histonic.stages.project.project import project
    from histonic.stages.report.report import write_report
    from histonic.stages.simulate.crops import simulate_crops
    from histonic.stages.simulate.needles import simulate_needles
    from histonic.stages.simulate.rectangles import simulate_rectangles
    from histonic.stages.study.init import init_study
    from histonic.stages.study.needles.study import study_needles
    from histonic.stages.study.recipe import recipe
    from histonic.stages.study.rectangles.study import study_rectangles
    from histonic.stages.study.run import run_study
    from histonic.stages.tiles.extract import extract_tiles
    from histonic.stages.tiles.mosaic import simulate_mosaic
    from histonic.stages.train.train import train_slides
    from histonic.stages.transfer.tasks import study_tasks
    from histonic.stages.transfer.transfer import transfer
    from histonic.stages.verify.verify import verify

_HOMES = {
    "ArraySlide": "histonic.slides.formats.array",
    "CellMap": "histonic.core.compressed",
    "CompressedSlide": "histonic.core.compressed",
    "HistonicError": "histonic.core.errors",
    "Run": "histonic.stages.open.run",
    "Store": "histonic.data.maps.store",
    "Task": "histonic.core.task",
    "TileGrid": "histonic.core.grid",
    "audit": "histonic.stages.audit.audit",
    "compare_runs": "histonic.stages.compare.compare",
    "compress": "histonic.stages.compress.compress",
    "convert": "histonic.stages.convert.convert",
    "evaluate_run": "histonic.stages.evaluate.evaluate",
    "explain": "histonic.stages.explain.explain",
    "export_features": "histonic.stages.exchange.exporting",
    "export_onnx": "histonic.stages.exchange.onnx_files",
    "external_test": "histonic.stages.predict.external",
    "extract_tiles": "histonic.stages.tiles.extract",
    "import_encoder": "histonic.stages.encoder.imported",
    "import_features": "histonic.stages.exchange.importing",
    "init_study": "histonic.stages.study.init",
    "load_encoder": "histonic.encoders.base",
    "make_pool": "histonic.stages.encoder.pool",
    "open_slide": "histonic.slides.base",
    "predict": "histonic.stages.predict.predict",
    "project": "histonic.stages.project.project",
    "recipe": "histonic.stages.study.recipe",
    "run_study": "histonic.stages.study.run",
    "simulate_challenge": "histonic.simulate.challenges.writing",
    "simulate_crops": "histonic.stages.simulate.crops",
    "simulate_mosaic": "histonic.stages.tiles.mosaic",
    "simulate_needles": "histonic.stages.simulate.needles",
    "simulate_rectangles": "histonic.stages.simulate.rectangles",
    "study_needles": "histonic.stages.study.needles.study",
    "study_rectangles": "histonic.stages.study.rectangles.study",
    "study_tasks": "histonic.stages.transfer.tasks",
    "train_encoder": "histonic.stages.encoder.train",
    "train_slides": "histonic.stages.train.train",
    "transfer": "histonic.stages.transfer.transfer",
    "verify": "histonic.stages.verify.verify",
    "write_report": "histonic.stages.report.report",
}

__all__ = [
    "ArraySlide",
    "CellMap",
    "CompressedSlide",
    "HistonicError",
    "Run",
    "Store",
    "Task",
    "TileGrid",
    "audit",
    "compare_runs",
    "compress",
    "convert",
    "evaluate_run",
    "explain",
    "export_features",
    "export_onnx",
    "external_test",
    "extract_tiles",
    "import_encoder",
    "import_features",
    "init_study",
    "load_encoder",
    "make_pool",
    "open_slide",
    "predict",
    "project",
    "recipe",
    "run_study",
    "simulate_challenge",
    "simulate_crops",
    "simulate_mosaic",
    "simulate_needles",
    "simulate_rectangles",
    "study_needles",
    "study_rectangles",
    "study_tasks",
    "train_encoder",
    "train_slides",
    "transfer",
    "verify",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'histonic' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
