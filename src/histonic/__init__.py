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
    from histonic.core.notebooks.progress import NotebookProgress
    from histonic.core.progress import Listener, Listeners, Measures
    from histonic.core.task import Task
    from histonic.data.maps.remote.opening import open_store
    from histonic.data.maps.store import Store
    from histonic.encoders.base import load_encoder
    from histonic.encoders.session import register_encoder
    from histonic.models.session import register_aggregator
    from histonic.simulate.challenges.writing import simulate_challenge
    from histonic.slides.base import open_slide
    from histonic.slides.formats.array import ArraySlide
    from histonic.stages.audit.audit import audit
    from histonic.stages.audit.settings import AuditSettings
    from histonic.stages.compare.compare import compare_runs
    from histonic.stages.compare.settings import CompareSettings
    from histonic.stages.compress.compress import compress
    from histonic.stages.compress.settings import CompressSettings
    from histonic.stages.convert.convert import convert
    from histonic.stages.convert.settings import ConvertSettings
    from histonic.stages.doctor.doctor import doctor
    from histonic.stages.doctor.settings import DoctorSettings
    from histonic.stages.encoder.imported import import_encoder
    from histonic.stages.encoder.pool import make_pool
    from histonic.stages.encoder.settings import PoolSettings, TrainEncoderSettings
    from histonic.stages.encoder.train import train_encoder
    from histonic.stages.evaluate.evaluate import evaluate_run
    from histonic.stages.exchange.exporting import export_features
    from histonic.stages.exchange.importing import import_features
    from histonic.stages.exchange.onnx_files import export_onnx
    from histonic.stages.exchange.settings import ExportSettings, ImportFeaturesSettings, OnnxSettings
    from histonic.stages.explain.explain import explain
    from histonic.stages.explain.settings import ExplainSettings
    from histonic.stages.open.dataset import MapDataset, collate_maps
    from histonic.stages.open.run import Run
    from histonic.stages.predict.external import external_test
    from histonic.stages.predict.predict import predict
    from histonic.stages.predict.settings import ExternalSettings, PredictSettings
    from histonic.stages.project.project import project
    from histonic.stages.project.settings import ProjectSettings
    from histonic.stages.report.report import write_report
    from histonic.stages.report.settings import ReportSettings
    from histonic.stages.simulate.crops import simulate_crops
    from histonic.stages.simulate.needles import simulate_needles
    from histonic.stages.simulate.rectangles import simulate_rectangles
    from histonic.stages.simulate.settings import CropSettings, NeedleSettings, RectangleSettings
    from histonic.stages.study.file.settings import InitStudySettings, RunStudySettings
    from histonic.stages.study.frame.settings import RecipeSettings
    from histonic.stages.study.init import init_study
    from histonic.stages.study.needles.settings import NeedleStudySettings
    from histonic.stages.study.needles.study import study_needles
    from histonic.stages.study.recipe import recipe
    from histonic.stages.study.rectangles.settings import RectangleStudySettings
    from histonic.stages.study.rectangles.study import study_rectangles
    from histonic.stages.study.run import run_study
    from histonic.stages.tiles.extract import extract_tiles
    from histonic.stages.tiles.mosaic import simulate_mosaic
    from histonic.stages.tiles.settings import ExtractSettings, MosaicSettings
    from histonic.stages.train.settings import TrainSettings
    from histonic.stages.train.train import train_slides
    from histonic.stages.transfer.settings import StudyTasksSettings, TransferSettings
    from histonic.stages.transfer.tasks import study_tasks
    from histonic.stages.transfer.transfer import transfer
    from histonic.stages.verify.settings import VerifySettings
    from histonic.stages.verify.verify import verify
    from histonic.training.listeners.tensorboard import TensorBoard

_HOMES = {
    "ArraySlide": "histonic.slides.formats.array",
    "AuditSettings": "histonic.stages.audit.settings",
    "CellMap": "histonic.core.compressed",
    "CompareSettings": "histonic.stages.compare.settings",
    "CompressSettings": "histonic.stages.compress.settings",
    "CompressedSlide": "histonic.core.compressed",
    "ConvertSettings": "histonic.stages.convert.settings",
    "CropSettings": "histonic.stages.simulate.settings",
    "DoctorSettings": "histonic.stages.doctor.settings",
    "ExplainSettings": "histonic.stages.explain.settings",
    "ExportSettings": "histonic.stages.exchange.settings",
    "ExternalSettings": "histonic.stages.predict.settings",
    "ExtractSettings": "histonic.stages.tiles.settings",
    "HistonicError": "histonic.core.errors",
    "ImportFeaturesSettings": "histonic.stages.exchange.settings",
    "InitStudySettings": "histonic.stages.study.file.settings",
    "Listener": "histonic.core.progress",
    "Listeners": "histonic.core.progress",
    "MapDataset": "histonic.stages.open.dataset",
    "Measures": "histonic.core.progress",
    "MosaicSettings": "histonic.stages.tiles.settings",
    "NeedleSettings": "histonic.stages.simulate.settings",
    "NeedleStudySettings": "histonic.stages.study.needles.settings",
    "NotebookProgress": "histonic.core.notebooks.progress",
    "OnnxSettings": "histonic.stages.exchange.settings",
    "PoolSettings": "histonic.stages.encoder.settings",
    "PredictSettings": "histonic.stages.predict.settings",
    "ProjectSettings": "histonic.stages.project.settings",
    "RecipeSettings": "histonic.stages.study.frame.settings",
    "RectangleSettings": "histonic.stages.simulate.settings",
    "RectangleStudySettings": "histonic.stages.study.rectangles.settings",
    "ReportSettings": "histonic.stages.report.settings",
    "Run": "histonic.stages.open.run",
    "RunStudySettings": "histonic.stages.study.file.settings",
    "Store": "histonic.data.maps.store",
    "StudyTasksSettings": "histonic.stages.transfer.settings",
    "Task": "histonic.core.task",
    "TensorBoard": "histonic.training.listeners.tensorboard",
    "TileGrid": "histonic.core.grid",
    "TrainEncoderSettings": "histonic.stages.encoder.settings",
    "TrainSettings": "histonic.stages.train.settings",
    "TransferSettings": "histonic.stages.transfer.settings",
    "VerifySettings": "histonic.stages.verify.settings",
    "audit": "histonic.stages.audit.audit",
    "collate_maps": "histonic.stages.open.dataset",
    "compare_runs": "histonic.stages.compare.compare",
    "compress": "histonic.stages.compress.compress",
    "convert": "histonic.stages.convert.convert",
    "doctor": "histonic.stages.doctor.doctor",
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
    "open_store": "histonic.data.maps.remote.opening",
    "predict": "histonic.stages.predict.predict",
    "project": "histonic.stages.project.project",
    "recipe": "histonic.stages.study.recipe",
    "register_aggregator": "histonic.models.session",
    "register_encoder": "histonic.encoders.session",
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
    "AuditSettings",
    "CellMap",
    "CompareSettings",
    "CompressSettings",
    "CompressedSlide",
    "ConvertSettings",
    "CropSettings",
    "DoctorSettings",
    "ExplainSettings",
    "ExportSettings",
    "ExternalSettings",
    "ExtractSettings",
    "HistonicError",
    "ImportFeaturesSettings",
    "InitStudySettings",
    "Listener",
    "Listeners",
    "MapDataset",
    "Measures",
    "MosaicSettings",
    "NeedleSettings",
    "NeedleStudySettings",
    "NotebookProgress",
    "OnnxSettings",
    "PoolSettings",
    "PredictSettings",
    "ProjectSettings",
    "RecipeSettings",
    "RectangleSettings",
    "RectangleStudySettings",
    "ReportSettings",
    "Run",
    "RunStudySettings",
    "Store",
    "StudyTasksSettings",
    "Task",
    "TensorBoard",
    "TileGrid",
    "TrainEncoderSettings",
    "TrainSettings",
    "TransferSettings",
    "VerifySettings",
    "audit",
    "collate_maps",
    "compare_runs",
    "compress",
    "convert",
    "doctor",
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
    "open_store",
    "predict",
    "project",
    "recipe",
    "register_aggregator",
    "register_encoder",
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
