"""One item of a reporting checklist, and a whole one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """What a statement asks for, said in our own words.

    Attributes:
        number: In the statement; empty where it is ours.
        section: Of a paper.
        topic: What is to be reported.
        facts: Names of what a run knows of it, see :mod:`histonic.stages.report.checklists.facts`.
        rest: What the run cannot know; empty where nothing is left to say.
    """

    number: str
    section: str
    topic: str
    facts: tuple[str, ...] = ()
    rest: str = ""


@dataclass(frozen=True)
class Statement:
    """A reporting checklist.

    Attributes:
        key: As on the command line.
        name: Of the statement.
        source: Where the wording that counts is found.
        note: What a user should know of the numbers here; empty if nothing.
        items: In its order.
    """

    key: str
    name: str
    source: str
    note: str
    items: tuple[Item, ...]
