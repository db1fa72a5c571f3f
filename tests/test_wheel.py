"""The wheel and the source archive: what runs and all notices are in, nothing else; links lead somewhere."""

from __future__ import annotations

import email
import re
import tarfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"
REPOSITORY = "https://github.com/histonic/histonic"
PICTURES = "https://raw.githubusercontent.com/histonic/histonic/main/"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    pytest.importorskip("hatch_fancy_pypi_readme")
    wheel = pytest.importorskip("hatchling.builders.wheel")
    built = next(iter(wheel.WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")))))
    return zipfile.ZipFile(built)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    name = next(each for each in wheel.namelist() if each.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    kept = [path for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    wanted = {path.relative_to(SOURCE).as_posix() for path in kept if path.suffix != ".pyc"}
    held = {name for name in wheel.namelist() if not name.startswith("histonic-")}
    assert held == wanted
    assert {PurePosixPath(name).suffix for name in held} <= {
        ".py", ".typed", ".safetensors", ".md", ".css", ".j2", ".js", ".html", ".svg", "",
    }  # fmt: skip
    for part in ("py.typed", "encoders/weights/histonic-lite.safetensors", "stages/report/templates/"):
        assert any(name.startswith(f"histonic/{part}") for name in held), part


def test_licence_and_notices_go_along(wheel: zipfile.ZipFile, metadata: email.message.Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0 AND BSD-3-Clause"
    viewer = "src/histonic/app/view/static/openseadragon/LICENSE"
    for name in ("LICENSE", "NOTICE", viewer):
        (place,) = (each for each in wheel.namelist() if each.endswith(f"licenses/{name}"))
        assert wheel.read(place) == (ROOT / name).read_bytes()
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert "EfficientNet-Lite0" in notice and "ML Illustrated" in notice and "OpenSeadragon" in notice


def test_the_wheel_is_below_what_an_index_is_asked_to_keep(wheel: zipfile.ZipFile) -> None:
    assert sum(each.compress_size for each in wheel.infolist()) < 10e6


def test_links_and_pictures_of_the_readme_are_addresses(metadata: email.message.Message) -> None:
    text = str(metadata.get_payload())
    assert metadata["Description-Content-Type"] == "text/markdown"
    targets = re.findall(r"(!?)\[[^\]]*\]\(([^)]+)\)", text)
    assert len(targets) > 20 and any(picture for picture, _ in targets)
    for picture, target in targets:
        assert target.startswith(("https://", "#")), target
        begins = (
            "https://raw.githubusercontent.com/histonic/histonic/main/"
            if picture
            else f"{REPOSITORY}/blob/main/"
        )
        if target.startswith(begins):
            assert (ROOT / target.removeprefix(begins).partition("#")[0]).exists(), target
        else:
            assert not target.startswith((REPOSITORY, "https://raw.")), target


def test_addresses_of_the_project_agree(metadata: email.message.Message) -> None:
    urls = dict(each.split(", ", 1) for each in metadata.get_all("Project-URL", []))
    assert urls["Source"] == REPOSITORY and {"Documentation", "Changelog", "Issues"} <= set(urls)
    assert all(url.startswith(REPOSITORY) for url in urls.values())


def test_the_source_archive_builds_and_has_no_junk(tmp_path: Path) -> None:
    pytest.importorskip("hatch_fancy_pypi_readme")
    sdist = pytest.importorskip("hatchling.builders.sdist")
    built = next(iter(sdist.SdistBuilder(str(ROOT)).build(directory=str(tmp_path))))
    with tarfile.open(built) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "NOTICE", "README.md", "src/histonic/py.typed"} <= names
    tops = {name.split("/")[0] for name in names}
    assert tops == {
        "src", "docs", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "NOTICE", "constraints.txt",
        "PKG-INFO", ".gitignore",
    }  # fmt: skip
    assert not [
        name for name in names if any(junk in name for junk in ("_build", ".pyc", ".ipynb_checkpoints"))
    ]


def test_an_image_is_built_from_all_that_the_wheel_needs() -> None:
    """``.dockerignore`` lets through what the source archive holds."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = settings["tool"]["hatch"]["build"]["targets"]["sdist"]["only-include"]
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {f"!{name}" for name in (*wanted, "pyproject.toml")} <= set(lines)
    assert "docs/_build" in lines[lines.index("!docs") :]
