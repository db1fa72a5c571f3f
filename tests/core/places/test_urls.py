"""A URL opens with all it holds, and shows neither password nor query."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from histonic.core.places.urls import GivenPlace, Url, is_url, place_of, without_secrets
from histonic.core.settings import Settings, plain_settings


class Given(Settings):
    slides: tuple[GivenPlace, ...] = ()


@pytest.mark.parametrize(
    ("full", "shown", "name", "host"),
    [
        ("https://h.org/a/b.svs?sig=KEY#x", "https://h.org/a/b.svs", "b.svs", "h.org"),
        ("HTTPS://me:KEY@h.org:8000/b.ome.tif", "https://h.org:8000/b.ome.tif", "b.ome.tif", "h.org:8000"),
        ("https://h.org/a%20%C3%A9.svs?KEY", "https://h.org/a%20%C3%A9.svs", "a é.svs", "h.org"),
        ("s3://bucket/a/b.svs?versionId=KEY", "s3://bucket/a/b.svs", "b.svs", "bucket"),
        ("https://h.org?a=/KEY/b.svs", "https://h.org", "", "h.org"),
        ("https://h.org/?KEY@x/b.svs", "https://h.org/", "", "h.org"),
        ("https://h.org/a/", "https://h.org/a/", "a", "h.org"),
    ],
)
def test_what_is_secret_is_not_shown(full: str, shown: str, name: str, host: str) -> None:
    url = Url(full)
    assert (str(url), url.name, url.host) == (shown, name, host)
    assert url.reveal() == full and "KEY" not in repr(url) + f"{url}"
    assert pickle.loads(pickle.dumps(url)) == url


def test_two_queries_are_two_files() -> None:
    assert Url("https://h/get?id=1") != Url("https://h/get?id=2")
    assert len({Url("https://h/get?id=1"), Url("https://h/get?id=1")}) == 1


@pytest.mark.parametrize("text", ["a/b.svs", "C:/a.svs", "C:\\a.svs", "//server/a.svs", "/a:b//c.svs", ""])
def test_paths_are_no_urls(text: str) -> None:
    assert not is_url(text) and place_of(text) == text


def test_settings_take_both_and_store_no_query() -> None:
    long = "https://h.org/b.svs?X-Amz-Signature=" + "K" * 900
    given = Given(slides=("a/b.svs", long, Path("c.svs")))
    assert given.slides == (Path("a/b.svs"), Url(long), Path("c.svs"))
    assert given.model_copy().slides == Given.model_validate(given.model_dump()).slides == given.slides
    assert "KKK" not in given.model_dump_json() + json.dumps(plain_settings(given)) + repr(given)
    assert plain_settings(given, private=True) == {"slides": ["(private)"] * 3}


def test_words_of_a_command_line_show_no_secrets() -> None:
    words = "http://u:p,w'd@h/x.svs?y=1,https://me:pw@host.org/case 1.svs?sig=token"
    assert without_secrets(words) == "http://h/x.svshttps://host.org/case 1.svs"
    assert without_secrets("C:/slides/a.svs") == "C:/slides/a.svs"
