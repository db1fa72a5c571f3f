"""Hashes tell the files of a map from what does not belong to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.stores import make_map
from histonic.data.maps.integrity import content_hash, members_hash
from histonic.data.maps.writer import write_map


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_map(tmp_path / "a.zarr", make_map("a", 70, 70))
    return tmp_path / "a.zarr"


def test_a_byte_inside_a_chunk_changes_the_content_only(folder: Path) -> None:
    before = members_hash(folder), content_hash(folder)
    chunk = folder / "features/c/0/0/0"
    content = bytearray(chunk.read_bytes())
    content[20] ^= 1
    chunk.write_bytes(bytes(content))
    assert members_hash(folder) == before[0] and content_hash(folder) != before[1]


@pytest.mark.parametrize("how", ["gone", "cut", "empty", "renamed", "described otherwise"])
def test_what_happens_to_files_changes_the_members(folder: Path, how: str) -> None:
    before = members_hash(folder)
    chunk = folder / "features/c/0/1/1"
    if how == "gone":
        chunk.unlink()
    elif how == "cut":
        chunk.write_bytes(chunk.read_bytes()[:-1])
    elif how == "empty":
        chunk.write_bytes(b"")
    elif how == "renamed":
        chunk.rename(chunk.with_name("2"))
    else:
        described = folder / "features/zarr.json"
        described.write_text(described.read_text().replace("float16", "uint16"))
    assert members_hash(folder) != before


def test_facts_and_hidden_files_are_no_members(folder: Path) -> None:
    before = members_hash(folder), content_hash(folder)
    (folder / "zarr.json").write_text("{}")
    (folder / "features/c/.DS_Store").write_bytes(b"x")
    (folder / "notes.txt").write_bytes(b"x")
    assert (members_hash(folder), content_hash(folder)) == before
