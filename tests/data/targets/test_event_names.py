"""What names of event columns say."""

from __future__ import annotations

import pytest

from histonic.data.targets.event_names import name_meaning

NAMES = {
    "alive": "alive isAlive still_alive alive_at_last_fu survived Survivors lebt lebend living am_leben "
    "en_vie vivo überlebt disease_free DiseaseFree relapse-free event.free no_event not_dead",
    "event": "dead death died deceased os_event dfs_event event relapse recurrence progression non_survivor "
    "NonSurvivor not_alive death_os tot verstorben disease_free_survival_event dead.of.disease",
    "censored": "censored cens zensiert lost_to_followup LTFU censorship_dss withdrawn dropout",
    "unclear": "vital_status vitalStatus overall_survival survival_status disease_free_survival alive_dead "
    "dead_or_alive progression_free_status NED remission cured",
    "": "os status OS_STATUS fstat pfi DSS uncensored grade",
}


@pytest.mark.parametrize(("name", "meaning"), [(n, m) for m, names in NAMES.items() for n in names.split()])
def test_meaning_of_names(name: str, meaning: str) -> None:
    assert name_meaning(name) == meaning
