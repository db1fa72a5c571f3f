from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from histonic.core.errors import SettingsError
from histonic.core.places.frames import FrameTable, GivenTable, GivenTableOrNone, table_of
from histonic.core.settings import Settings, make_settings, plain_settings


class Reading(Settings):
    labels: GivenTable
    more: GivenTableOrNone = None


def test_a_dataframe_stands_in_the_place_of_a_file() -> None:
    frame = pd.DataFrame({"patient_id": ["1"]})
    read = make_settings(Reading, {"labels": frame})
    assert isinstance(read.labels, FrameTable) and read.labels.frame is frame and read.more is None
    assert plain_settings(read) == {"labels": "DataFrame", "more": None}
    stored = Reading(labels=read.labels.stored_at(Path("run/labels.csv")))
    assert plain_settings(stored) == {"labels": "run/labels.csv", "more": None}


def test_paths_stay_paths() -> None:
    assert make_settings(Reading, {"labels": "a.csv", "more": Path("b.csv")}).labels == Path("a.csv")


def test_a_table_of_another_package_is_refused_with_what_to_do() -> None:
    class Other:
        def to_pandas(self) -> None: ...

    with pytest.raises(SettingsError, match=r"to_pandas\(\)"):
        make_settings(Reading, {"labels": Other()})
    assert table_of(3) == 3
