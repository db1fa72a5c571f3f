"""Owners are read back from names, and known to have ended when they have."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from histonic.core.processes.owners import Owner

PRINT_TOKEN = "from histonic.core.processes.owners import Owner; print(Owner.this().token())"


def test_tokens_differ_and_name_their_owner():
    one, two = Owner.this().token(), Owner.this().token()
    assert one != two
    assert Owner.of(one) == Owner.of(two) == Owner.this()
    assert Owner.of(f"{one}-slide.tif") == Owner.this(), "a name that begins with a token"
    assert Owner.of("slide.tif") is None and Owner.of(f"{one}0") is None


def test_this_process_has_not_ended_and_one_that_is_gone_has():
    assert not Owner.this().has_ended
    token = subprocess.run(
        [sys.executable, "-c", PRINT_TOKEN], capture_output=True, text=True, check=True
    ).stdout.strip()
    gone = Owner.of(token)
    assert gone is not None and gone.pid != os.getpid()
    assert gone.is_here and gone.has_ended


@pytest.mark.skipif(
    not os.path.exists("/proc/self/stat"), reason="the system does not tell when a process began"
)
def test_a_number_that_was_given_to_another_process_is_another_owner():
    mine = Owner.this()
    assert Owner(mine.host, mine.pid, mine.started - 1).has_ended


def test_nothing_is_known_of_processes_on_other_hosts():
    other = Owner("0" * 8, 2**22 + 1, 5)
    assert not other.is_here and not other.has_ended
