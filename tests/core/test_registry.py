"""Families of plugins: names, doubles, near matches, missing packages, entry points."""

from __future__ import annotations

import collections
import importlib.metadata
import json
import sys
from dataclasses import replace

import pytest

from histonic.core.errors import SettingsError
from histonic.core.registry import Entry, Registry, code_hash

GROUP = "histonic.test-family"


def family(*entries: Entry) -> Registry:
    return Registry("reader", GROUP, entries)


def register(monkeypatch, *points: importlib.metadata.EntryPoint) -> None:
    def entry_points(*, group):
        return [point for point in points if point.group == group]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)


def test_member_is_imported_only_when_asked_for(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    registry = family(Entry("tiff", "colorsys:rgb_to_hls"))
    assert list(registry) == ["tiff"]
    assert "colorsys" not in sys.modules
    assert registry.get("tiff") is sys.modules["colorsys"].rgb_to_hls


def test_unknown_name_gives_the_nearest():
    with pytest.raises(SettingsError, match="Did you mean 'openslide'") as caught:
        family(Entry("tiff", "json:loads"), Entry("openslide", "json:loads")).get("openslid")
    assert "tiff, openslide" in caught.value.todo


def test_missing_package_says_what_to_install():
    entry = Entry("dicom", "json:loads", needs=("json", "no_such_package_here"))
    assert entry.missing() == ("no_such_package_here",)
    with pytest.raises(SettingsError, match="pip install no_such_package_here"):
        family(entry).get("dicom")
    with pytest.raises(SettingsError, match=r"pip install 'histonic\[dicom\]'"):
        family(replace(entry, extra="dicom")).get("dicom")


@pytest.mark.parametrize("target", ["no_such_package_here:Slide", "json:no_such_name_here"])
def test_what_cannot_be_imported_says_why(target):
    with pytest.raises(SettingsError, match=f"{target} cannot be imported: .*Error: .*no_such") as caught:
        family(Entry("mine", target, origin="other")).get("mine")
    assert "reinstall other" in caught.value.todo


def test_same_name_twice_is_an_error():
    with pytest.raises(SettingsError, match="'tiff' comes from both histonic and other"):
        family(Entry("tiff", "a:b"), Entry("tiff", "c:d", origin="other")).entries()


def test_entry_points_join_the_family(monkeypatch):
    register(
        monkeypatch,
        importlib.metadata.EntryPoint("mine", "collections:OrderedDict", GROUP),
        importlib.metadata.EntryPoint("theirs", "collections:deque", "another.group"),
    )
    registry = family(Entry("tiff", "json:loads"))
    assert list(registry) == ["tiff", "mine"]
    assert "mine" in registry
    assert "theirs" not in registry
    assert registry.get("mine") is collections.OrderedDict


def test_packages_are_looked_through_once(monkeypatch):
    seen = []

    def entry_points(*, group):
        seen.append(group)
        return [importlib.metadata.EntryPoint("mine", "collections:OrderedDict", GROUP)]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    registry = family(Entry("tiff", "json:loads"))
    assert list(registry) == list(family(Entry("tiff", "json:loads"))) == ["tiff", "mine"]
    assert registry.get("tiff") is json.loads
    assert seen == [GROUP]


def test_entry_point_may_not_take_a_builtin_name(monkeypatch):
    register(monkeypatch, importlib.metadata.EntryPoint("tiff", "collections:deque", GROUP))
    with pytest.raises(SettingsError, match="Uninstall one"):
        family(Entry("tiff", "json:loads")).get("tiff")


def test_a_member_of_the_session_is_known_at_once_and_replaced_by_its_name():
    registry = family(Entry("tiff", "json:loads"))
    registry.register("mine", list)
    assert list(registry) == ["tiff", "mine"] and registry.get("mine") is list
    assert registry.is_of_session("mine") and not registry.is_of_session("tiff")
    registry.register("mine", dict)
    assert registry.get("mine") is dict and registry.entries()["mine"].origin == "this session"
    registry.forget("mine")
    assert "mine" not in registry
    with pytest.raises(SettingsError, match="registered in another session"):
        registry.get("mine")


def test_a_member_of_the_session_takes_no_name_of_others():
    with pytest.raises(SettingsError, match="histonic has a reader of that name"):
        family(Entry("tiff", "json:loads")).register("tiff", list)
    with pytest.raises(SettingsError, match="That is no name"):
        family().register("a:b", list)


def test_the_hash_of_a_class_without_source_follows_its_methods():
    made = []
    for text in ("a.mean()", "a.max()"):
        space = {}
        exec(f"class Own:\n    def forward(self, a):\n        return {text}\n", space)
        made.append(code_hash(space["Own"]))
    assert made[0] != made[1]


def test_the_hash_of_code_follows_the_code():
    def one(x):
        return x + 1

    def other(x):
        return x + 2

    assert code_hash(one) == code_hash(one) != code_hash(other)
    assert len(code_hash(Registry)) == 12
