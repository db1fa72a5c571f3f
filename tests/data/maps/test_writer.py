"""Maps are written whole, counted, and published once, whoever else writes the same one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.stores import make_map
from histonic.core.compressed import CompressedSlide, SlideDescription, orient
from histonic.core.errors import OutputError, StoreError
from histonic.data.maps.facts import MapFacts, read_map_facts
from histonic.data.maps.store import read_map
from histonic.data.maps.writer import MapWriter, write_map, writing_map


@pytest.mark.parametrize("shape", [(5, 7), (64, 64), (130, 70), (1, 200)])
@pytest.mark.parametrize("turned", [False, True])
def test_round_trip(tmp_path: Path, shape: tuple[int, int], turned: bool) -> None:
    slide = make_map("a", *shape, turned=turned)
    write_map(tmp_path / "a.zarr", slide)
    again = read_map(tmp_path / "a.zarr")
    assert np.array_equal(again.features[:], slide.features)
    assert np.array_equal(again.mask, slide.mask)
    assert again.grid == slide.grid and again.encoder == slide.encoder and again.settings == slide.settings
    if turned:
        for turn in range(8):
            codes, mask = again.oriented(turn)
            assert np.array_equal(codes, orient(slide.orientations[turn], turn))  # type: ignore[index]
            assert np.array_equal(mask, orient(slide.mask, turn))
    else:
        assert again.orientations is None


def test_a_map_in_many_puts_equals_one_put(tmp_path: Path) -> None:
    slide = make_map("a", 150, 90)
    write_map(tmp_path / "one.zarr", slide)
    cells = np.argwhere(slide.mask)
    codes = np.asarray(slide.features)[:, cells[:, 0], cells[:, 1]].T[:, None].astype(np.float32)
    facts = read_map_facts(tmp_path / "one.zarr")
    with writing_map(tmp_path / "many.zarr", slide.mask, 3) as writer:
        for start in range(0, len(cells), 37):
            writer.put(cells[start : start + 37], codes[start : start + 37])
        writer.finish(facts)
    one, many = tmp_path / "one.zarr", tmp_path / "many.zarr"
    names = sorted(str(path.relative_to(one)) for path in one.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(many)) for path in many.rglob("*") if path.is_file())
    assert all((one / name).read_bytes() == (many / name).read_bytes() for name in names)


def test_features_are_zarr_v3_float16(tmp_path: Path) -> None:
    write_map(tmp_path / "a.zarr", make_map("a"))
    described = json.loads((tmp_path / "a.zarr" / "features" / "zarr.json").read_text())
    assert described["zarr_format"] == 3 and described["data_type"] == "float16"


def facts_of(slide: CompressedSlide) -> MapFacts:
    return MapFacts(
        slide_id=slide.slide_id,
        grid=slide.grid,
        slide=slide.slide,
        reader=slide.reader,
        encoder=slide.encoder,
        settings=slide.settings,
        versions={},
    )


def cells_of(slide: CompressedSlide) -> tuple[Any, Any]:
    cells = np.argwhere(slide.mask)
    return cells, np.asarray(slide.features)[:, cells[:, 0], cells[:, 1]].T[:, None].astype(np.float32)


def test_two_writers_of_one_map_leave_one_whole_map(tmp_path: Path) -> None:
    slide = make_map("a", 100, 90)
    cells, codes = cells_of(slide)
    with writing_map(tmp_path / "a.zarr", slide.mask, 3) as first:
        first.put(cells[:4000], codes[:4000])
        with writing_map(tmp_path / "a.zarr", slide.mask, 3) as second:
            second.put(cells[:10], codes[:10])
            first.put(cells[4000:], codes[4000:])
            second.put(cells[10:], codes[10:])
            second.finish(facts_of(slide))
        before = (tmp_path / "a.zarr" / "zarr.json").stat().st_ino
        first.finish(facts_of(slide))
    assert (tmp_path / "a.zarr" / "zarr.json").stat().st_ino == before, "the second copy is thrown away"
    assert np.array_equal(read_map(tmp_path / "a.zarr").features[:], slide.features)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_a_map_of_another_file_is_replaced(tmp_path: Path) -> None:
    write_map(tmp_path / "a.zarr", make_map("a"))
    other = dataclasses.replace(make_map("a", 6, 6), slide=SlideDescription(fingerprint="g"))
    cells, codes = cells_of(other)
    with writing_map(tmp_path / "a.zarr", other.mask, 3) as writer:
        writer.put(cells, codes)
        writer.finish(facts_of(other))
    assert read_map(tmp_path / "a.zarr").mask.shape == (6, 6)


def test_a_map_of_another_file_with_the_same_codes_is_replaced_too(tmp_path: Path) -> None:
    """Else its facts would name a file that the slide is not, and the slide be refused for ever."""
    slide = make_map("a")
    write_map(tmp_path / "a.zarr", slide)
    other = dataclasses.replace(slide, slide=SlideDescription(fingerprint="g"))
    with writing_map(tmp_path / "a.zarr", other.mask, 3) as writer:
        writer.put(*cells_of(other))
        writer.finish(facts_of(other))
    assert read_map(tmp_path / "a.zarr").slide.fingerprint == "g"


def test_a_map_with_holes_is_never_published(tmp_path: Path) -> None:
    slide = make_map("a")
    cells, codes = cells_of(slide)
    with (
        pytest.raises(StoreError, match=f"1 of {len(cells)} cells"),
        writing_map(tmp_path / "a.zarr", slide.mask, 3) as writer,
    ):
        writer.put(cells[:-1], codes[:-1])
        writer.finish(facts_of(slide))
    with pytest.raises(StoreError, match="not finished"), writing_map(tmp_path / "a.zarr", slide.mask, 3):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_cell_is_put_once_and_only_on_tissue(tmp_path: Path) -> None:
    slide = make_map("a")
    cells, codes = cells_of(slide)
    writer = MapWriter(tmp_path / "a.zarr", slide.mask, 3)
    writer.put(cells[:1], codes[:1])
    with pytest.raises(StoreError, match="second one"):
        writer.put(cells[:1], codes[:1])
    with pytest.raises(StoreError, match="without tissue"):
        writer.put(np.argwhere(~slide.mask)[:1], codes[:1])


def test_only_chunks_that_hold_tissue_are_written_also_if_their_codes_are_zero(tmp_path: Path) -> None:
    slide = make_map("a", 64, 200)
    mask = np.zeros((64, 200), bool)
    mask[3, [5, 130]] = True
    write_map(tmp_path / "a.zarr", dataclasses.replace(slide, mask=mask, features=np.zeros((3, 64, 200))))
    assert sorted(path.name for path in (tmp_path / "a.zarr/features/c/0/0").iterdir()) == ["0", "2"]


def test_facts_count_the_cells_and_hash_the_content(tmp_path: Path) -> None:
    slide = make_map("a")
    write_map(tmp_path / "a.zarr", slide)
    write_map(tmp_path / "b.zarr", dataclasses.replace(slide, slide_id="b"))
    one, two = (read_map_facts(tmp_path / f"{name}.zarr") for name in "ab")
    assert one.cells == slide.mask.sum()
    assert one.content == two.content and one.members == two.members and one.sha256 != two.sha256
    assert len(one.content) == 64


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MapWriter, "finish", full)
    with pytest.raises(OutputError, match="No space left"):
        write_map(tmp_path / "a.zarr", make_map("a"))
    assert list(tmp_path.iterdir()) == []
