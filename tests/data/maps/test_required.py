"""A store without maps is refused, with the number of slides that failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.core.errors import StoreError
from histonic.data.maps.failures import Failure, write_failure
from histonic.data.maps.required import require_maps
from histonic.data.maps.store import Store


def test_a_store_without_maps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="It holds no map: it is an empty folder"):
        require_maps(Store.open(tmp_path), "Train.")
    write_failure(tmp_path, Failure("a", "a.svs", "open", "torn"))
    with pytest.raises(StoreError, match=r"It holds no map \(1 slides failed\)"):
        require_maps(Store.open(tmp_path), "Train.")
