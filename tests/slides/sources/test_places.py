"""A file gives the same size and bytes on a disk and at a URL."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from fixtures.ranges import serving
from histonic.core.places.urls import Url
from histonic.slides.sources.places import announce, open_source, size_of
from histonic.slides.sources.remote import RemoteFile


def test_both_kinds_are_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "a b.bin"
    path.write_bytes(bytes(range(256)) * 3_000)
    with serving(tmp_path) as server, closing(RemoteFile.open(Url(f"{server.url}/a%20b.bin"))) as remote:
        for source in (path, remote):
            announce(source, [(1_000, 7), (500_000, 9)])
            assert size_of(source) == 768_000
            with open_source(source) as opened:
                opened.seek(500_001)
                assert opened.read(4) == path.read_bytes()[500_001:500_005]
                assert opened.seek(-3, 2) == 767_997 and opened.read() == b"\xfd\xfe\xff"
