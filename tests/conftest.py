"""Fixtures shared by all tests."""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

from fixtures.challenges import bare  # noqa: F401
from fixtures.runs import make_run, reads, run_facts  # noqa: F401
from fixtures.stores import cohort_folder, slide_maker, store_maker  # noqa: F401
from fixtures.views import viewed_run  # noqa: F401

_declared: list[object] = []
"""Kept for the life of the process: the declarations end with their Library."""


def _declare_torchvision_operators() -> None:
    """Make torchvision importable where its compiled part does not load.

    The registry's torchvision for Linux is linked to CUDA. Beside a CPU build of torch its operators are
    absent, and the import fails at the first one it describes. A declaration without an implementation is
    enough for all that timm needs.
    """
    import torch

    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None or _declared:
        return
    for compiled in sorted(Path(found.origin).parent.glob("_C.*")):
        try:
            torch.ops.load_library(compiled)
            return
        except OSError:
            continue
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compiled encoders of the user are neither used nor added to; new processes see the same."""
    os.environ["HISTONIC_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def torchvision_imports() -> None:
    """For packages that import torchvision themselves."""
    if importlib.util.find_spec("torchvision") is not None:
        _declare_torchvision_operators()


@pytest.fixture(scope="session")
def timm() -> ModuleType:
    """The optional package timm; tests that use it skip where it is absent."""
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm absent: pip install 'histonic[timm]'")
    _declare_torchvision_operators()
    return importlib.import_module("timm")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder with real slides, tiles, encoders and tables; tests that use it skip where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("HISTONIC_DATA", default))
    if not (folder / "slides").is_dir():
        pytest.skip("real data absent: set HISTONIC_DATA to the folder that holds slides/, encoders/ ...")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the test that takes longest, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.path.name != "test_end_to_end.py")
