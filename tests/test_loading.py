"""What is loaded: a command imports its own settings, and nothing heavy before it has work to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fixtures.views import ViewedRun

THIRD_PARTY = {
    *("PIL", "aiohttp", "click", "filelock", "fsspec", "h5py", "imagecodecs", "jinja2", "lifelines"),
    *("dask", "distributed", "lightning_fabric", "pydicom", "s3fs", "starlette", "uvicorn", "wsidicom"),
    *("matplotlib", "numpy", "openpyxl", "openslide", "pandas", "pyarrow", "pydantic", "rich", "safetensors"),
    *("scipy", "simplejpeg", "sklearn", "tensorboard", "tifffile", "timm", "torch", "torchvision", "yaml"),
    *("zarr",),
}
TABLE = "histonic.data.tables.settings"
SETTINGS = {
    "doctor": {"histonic.stages.doctor.settings", TABLE},
    "demo": {"histonic.app.settings"},
    "compress": {"histonic.stages.compress.settings", TABLE},
    "convert": {"histonic.stages.convert.settings", TABLE},
    "audit": {"histonic.stages.audit.settings", TABLE},
    "train": {"histonic.stages.train.settings", TABLE},
    "external": {"histonic.stages.predict.settings", TABLE},
    "predict": {"histonic.stages.predict.settings", TABLE},
    "project": {"histonic.stages.project.settings"},
    "import": {"histonic.stages.exchange.settings", TABLE},
    "export": {"histonic.stages.exchange.settings", TABLE},
    "export-onnx": {"histonic.stages.exchange.settings", TABLE},
    "report": {"histonic.stages.report.settings"},
    "explain": {"histonic.stages.explain.settings"},
    "compare": {"histonic.stages.compare.settings"},
    "verify": {"histonic.stages.verify.settings"},
    "view": {"histonic.app.view.settings"},
    "encoder train": {"histonic.stages.encoder.settings"},
    "encoder import": {"histonic.stages.encoder.settings"},
    "encoder pool": {"histonic.stages.encoder.settings"},
    "encoder transfer": {"histonic.stages.transfer.settings"},
    "encoder tasks": {"histonic.stages.transfer.settings"},
    "tiles extract": {"histonic.stages.tiles.settings", TABLE},
    "recipe": {"histonic.stages.study.frame.settings"},
    "init": {"histonic.stages.study.file.settings", TABLE},
    "run": {"histonic.stages.study.file.settings", TABLE},
    "simulate challenge": {"histonic.stages.study.frame.settings"},
    "simulate mosaic": {"histonic.stages.tiles.settings", TABLE},
    "simulate needles": {"histonic.stages.simulate.settings", TABLE},
    "simulate crops": {"histonic.stages.simulate.settings", TABLE},
    "simulate rectangles": {"histonic.stages.simulate.settings", TABLE},
    "simulate stains": {"histonic.stages.simulate.settings", TABLE},
    "study needles": {"histonic.stages.study.needles.settings"},
    "study rectangles": {"histonic.stages.study.rectangles.settings"},
    "bench compress": {"histonic.stages.bench.settings"},
    "bench encoder": {"histonic.stages.bench.settings"},
    "bench train": {"histonic.stages.bench.settings"},
}
"""The settings modules that the help of a command may load, beside their base."""


def loaded(code: str, *words: str) -> tuple[set[str], set[str], set[str]]:
    """Settings modules, other modules of stages, and packages of others that are there after some code."""
    # Packages below the first hold a sentence each.
    files = "[name for name, each in sys.modules.items() if '.' not in name or not hasattr(each, '__path__')]"
    code += f"\nprint(json.dumps(sorted({files})), file=sys.stderr)"
    shown = subprocess.run(
        [sys.executable, "-c", f"import json, sys\n{code}", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    modules = set(json.loads(shown.stderr.splitlines()[-1]))
    settings = {name for name in modules if name.startswith("histonic.") and name.endswith(".settings")}
    stages = {name for name in modules if name.startswith("histonic.stages.") and name.count(".") > 2}
    folders = {name.rpartition(".")[0] for name in settings}  # of one sentence each
    return settings, stages - settings - folders, modules & THIRD_PARTY


def loaded_by(*words: str) -> tuple[set[str], set[str], set[str]]:
    run = "from histonic.app.cli import main\ntry:\n    main()\n"
    return loaded(f"{run}except SystemExit as end:\n    assert not end.code", *words)


def test_the_face_loads_nothing() -> None:
    assert loaded("import histonic") == (set(), set(), set())


@pytest.mark.parametrize("words", ["--help", "--version", "encoder --help", "tiles --help", "list --help"])
def test_help_of_all_loads_no_settings(words: str) -> None:
    assert loaded_by(*words.split()) == (set(), set(), {"click"})


@pytest.mark.parametrize("name", SETTINGS)
def test_help_of_a_command_loads_its_own_settings(name: str) -> None:
    own = {"histonic.core.settings", *SETTINGS[name]}
    assert loaded_by(*name.split(), "--help") == (own, set(), {"click", "pydantic"})


def test_every_command_is_tried() -> None:
    from histonic.app.cli import histonic

    groups = [name for name, command in histonic.commands.items() if hasattr(command, "commands")]
    assert set(histonic.commands) == {name.split()[0] for name in SETTINGS} | {"list"}
    for group in groups:
        names = {f"{group} {name}" for name in histonic.commands[group].commands}
        assert names == {name for name in SETTINGS if name.startswith(f"{group} ")}


def test_the_list_imports_no_plugin() -> None:
    assert loaded_by("list") == (
        {"histonic.core.settings"},
        set(),
        {"click", "numpy", "pydantic", "safetensors"},
    )


def test_a_slide_on_a_disk_loads_nothing_for_dicom_and_urls(tmp_path: Path) -> None:
    from histonic.slides.formats.pyramid import write_pyramid

    write_pyramid(tmp_path / "a.tif", np.zeros((300, 300, 3), np.uint8), mpp=0.5)
    code = "from histonic.slides.base import open_slide\nopen_slide(sys.argv[1]).close()"
    _, _, packages = loaded(code, str(tmp_path / "a.tif"))
    assert "tifffile" in packages and not packages & {"aiohttp", "fsspec", "pydicom", "s3fs", "wsidicom"}


def test_tables_need_no_package_of_an_extra(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("patient_id,grade\n0012,x\n0013,\n")
    code = "sys.modules['pyarrow'] = None\nfrom histonic.data.tables.files import read_table\n"
    code += "assert read_table(sys.argv[1]).frame.to_dict('list') == "
    code += "{'patient_id': ['0012', '0013'], 'grade': ['x', '']}"
    loaded(code, str(tmp_path / "a.csv"))


def test_csv_tables_load_nothing_for_excel(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("patient_id,grade\n1,x\n2,y\n3,x\n")
    code = "from histonic.data.targets.checks import examine_labels\n"
    code += "examine_labels(sys.argv[1], targets=['grade'])\nassert 'scipy.stats' not in sys.modules"
    _, _, packages = loaded(code, str(tmp_path / "a.csv"))
    assert "pandas" in packages and "openpyxl" not in packages


def test_the_viewer_shows_a_slide_without_networks_and_figures(viewed_run: ViewedRun) -> None:
    code = "import histonic.app.view.export, histonic.app.view.slides\nfrom pathlib import Path\n"
    code += "from histonic.app.view.content import open_viewed\n"
    code += "from histonic.app.view.settings import ViewSettings\n"
    code += "viewed = open_viewed(ViewSettings(what=Path(sys.argv[1])))\n"
    code += "assert {len(viewed.described(number).layers) for number in range(6)} == {0, 1, 2}"
    _, _, packages = loaded(code, str(viewed_run.run))
    assert "PIL" in packages and not packages & {"torch", "matplotlib", "lightning_fabric"}
