"""Trainings that torchrun started on one or many hosts: the first process leads, the others follow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch.distributed as dist

from histonic.core.errors import SettingsError
from histonic.core.processes.ranks import launched
from histonic.core.progress import Progress, Silent

if TYPE_CHECKING:
    from lightning_fabric import Fabric

A = TypeVar("A")
T = TypeVar("T")
WAIT = timedelta(days=30)
"""How long others wait for the first one, which may read and write for hours between two trainings."""
Work = Callable[["Fabric", A, Progress], None]


class _Group:
    """The processes of this training, once they know each other."""

    control: Any = None


def led(
    devices: int, make: Callable[[int], Fabric], lead: Callable[[int], T], followed: Callable[[], T]
) -> T:
    """Do work as the only process; or lead those that torchrun started; or follow the one that leads.

    Args:
        devices: As the settings have it.
        make: Gives the fabric for a number of devices.
        lead: The work, with the number of devices that it has; only one process does it.
        followed: What another process returns when all work is done.

    Raises:
        SettingsError: Another number of devices is asked for than torchrun has started processes.
    """
    ranks = launched()
    if ranks is None:
        return lead(devices)
    if devices not in (1, ranks.world):
        raise SettingsError(
            f"Train on {devices} devices.",
            f"torchrun has started {ranks.world} processes, with a device for each.",
            "Leave out --devices.",
        )
    if ranks.rank:
        _follow(make(ranks.world))
        return followed()
    result = lead(ranks.world)
    if _Group.control is None:
        _meet(make(ranks.world))
    _tell(None)
    _part()
    return result


def lead_work(fabric: Fabric, work: Work[A], argument: A, progress: Progress) -> None:
    """Do work on all processes; called by the first of them.

    Args:
        fabric: Of all devices.
        work: A function of a module.
        argument: Picklable, without memory that is shared.
        progress: Hears of the first process.
    """
    if _Group.control is None:
        _meet(fabric)
    _tell((work, argument))
    work(fabric, argument, progress)
    fabric.barrier()


def _follow(fabric: Fabric) -> None:
    _meet(fabric)
    while (told := _tell(None)) is not None:
        work, argument = told
        work(fabric, argument, Silent())
        fabric.barrier()
    _part()


def _meet(fabric: Fabric) -> None:
    fabric.launch()
    # On its own, so that waiting is not taken for a fault.
    _Group.control = dist.new_group(backend="gloo", timeout=WAIT)


def _tell(what: Any) -> Any:
    """What the first process says, on all of them."""
    said = [what]
    dist.broadcast_object_list(said, src=0, group=_Group.control)
    return said[0]


def _part() -> None:
    dist.barrier(group=_Group.control)
    dist.destroy_process_group()
    _Group.control = None
