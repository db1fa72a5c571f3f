"""Which process something on a shared disk belongs to, and whether that process has ended."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_TOKEN = re.compile(r"([0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{8}(?![0-9a-f])")


@dataclass(frozen=True)
class Owner:
    """One process on one host.

    Attributes:
        host: Eight hexadecimal digits that stand for host name, boot and process namespace, so that a process
            id is only looked up where it means something (containers may share a host name).
        pid: Process id.
        started: When the process began, in ticks of its host; 0 where the system does not tell.
    """

    host: str
    pid: int
    started: int

    @classmethod
    def this(cls) -> Owner:
        """The process that asks."""
        return cls(_host_digits(), os.getpid(), _started(os.getpid()))

    @classmethod
    def of(cls, token: str) -> Owner | None:
        """The owner that a token, or a name that begins with one, names; None for any other name."""
        found = _TOKEN.match(token)
        return cls(found[1], int(found[2]), int(found[3])) if found else None

    def token(self) -> str:
        """A new name that can be part of a file name: no two are the same, and its owner can be read.

        Example:
            >>> Owner.of(Owner.this().token()) == Owner.this()
            True
        """
        return f"{self.host}-{self.pid}-{self.started}-{secrets.token_hex(4)}"

    @property
    def is_here(self) -> bool:
        """Whether it ran on this host since the last boot, so that its end can be seen."""
        return self.host == _host_digits()

    @property
    def has_ended(self) -> bool:
        """Whether the process is known to be gone; False for those of other hosts."""
        if not self.is_here:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        # The system may have given the number to another process since.
        return self.started != _started(self.pid)


@cache
def _host_digits() -> str:
    facts = [socket.gethostname(), "", ""]
    with suppress(OSError):
        facts[1] = Path("/proc/sys/kernel/random/boot_id").read_text()
    with suppress(OSError):
        facts[2] = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]


def _started(pid: int) -> int:
    try:
        # The second field is the program's name in brackets, which may hold blanks and brackets.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return 0 if fields[0] == "Z" else int(fields[19])
    except (OSError, ValueError, IndexError):
        return 0
