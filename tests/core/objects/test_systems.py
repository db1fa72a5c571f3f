"""What fsspec and a web server give is what the small interface says."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from fixtures.ranges import serving
from histonic.core.objects.answers import code_of, status_of
from histonic.core.objects.systems import S3, DeletionRefused, Files, Web, system_of
from histonic.core.places.urls import Url


def test_any_system_of_fsspec_can_be_used_without_conditions() -> None:
    pytest.importorskip("fsspec")
    files = system_of(Url(f"memory://{uuid4().hex}/store"))
    assert isinstance(files, Files) and not files.has_conditions
    assert files.get("maps/a.json") is None and files.listed("maps/", deep=True) == []
    tag = files.put("maps/a.json", b"1")
    files.put("data/a/v/x", b"22")
    files.put("maps.json", b"")
    found = files.get("maps/a.json")
    assert found is not None and (found.data, found.tag) == (b"1", tag)
    assert [(each.key, each.size) for each in files.listed("data/", deep=True)] == [("data/a/v/x", 2)]
    assert [each.key for each in files.listed("", deep=False)] == ["maps.json"]
    files.delete(["maps/a.json", "maps/a.json"])
    assert files.get("maps/a.json") is None


@pytest.mark.parametrize(
    ("codes", "wanted"), [(["SlowDown"], 503), (["InternalError", "AccessDenied"], 403), ([], None)]
)
def test_deletions_refused_inside_an_answer_of_success_are_seen(
    monkeypatch: pytest.MonkeyPatch, codes: list[str], wanted: int | None
) -> None:
    bucket = S3.__new__(S3)
    bucket._root = "store/"
    answer = {"Errors": [{"Key": "store/a", "Code": code} for code in codes]} if codes else {}
    monkeypatch.setattr(bucket, "_call", lambda *_, **__: answer)
    if wanted is None:
        bucket.delete(["a", "b"])
        return
    with pytest.raises(DeletionRefused) as caught:
        bucket.delete(["a", "b"])
    assert status_of(caught.value) == wanted and code_of(caught.value) in codes


def test_a_web_server_is_read(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    (tmp_path / "store" / "maps").mkdir(parents=True)
    (tmp_path / "store" / "maps" / "a b#1.json").write_bytes(b"1")
    with serving(tmp_path) as served:
        web = system_of(Url(f"{served.url}/store?signature=xyz"))
        assert isinstance(web, Web) and not web.is_writable and not web.can_list
        found = web.get("maps/a b#1.json")
        assert found is not None and found.data == b"1"
        assert web.get("maps/b.json") is None
        assert all(each.endswith("?signature=xyz") for each in served.asked)
