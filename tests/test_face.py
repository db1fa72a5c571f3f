"""The public names are frozen: adding or taking one away is a decision, not an accident."""

from __future__ import annotations

import histonic
from histonic.core import errors

NAMES = [
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


def test_the_face_is_frozen() -> None:
    assert histonic.__all__ == NAMES
    assert dir(histonic) == NAMES


def test_every_name_can_be_had() -> None:
    for name in NAMES:
        assert getattr(histonic, name).__module__.startswith("histonic.")


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(histonic, "compres")


def test_every_error_is_a_histonic_error() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    assert all(issubclass(value, errors.HistonicError) for value in classes)
