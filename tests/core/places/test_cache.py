"""What is kept lies where the user says, else in the user's cache folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.core.places.cache import kept_in


def test_a_folder_given_by_the_user_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    monkeypatch.delenv("HISTONIC_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert kept_in("stores") == Path("/home/me/.cache/histonic/stores")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert kept_in("stores") == Path("/cache/histonic/stores")
    monkeypatch.setenv("HISTONIC_CACHE", "/scratch/me")
    assert kept_in("stores") == Path("/scratch/me/stores")
