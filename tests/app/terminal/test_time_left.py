"""The time left of a stage whose parts may end early: a bound first, then what ended parts have shown."""

from __future__ import annotations

from itertools import pairwise

from histonic.app.terminal.time_left import TimeLeft, told_time


def test_steps_at_one_pace_are_told_as_before() -> None:
    left = TimeLeft(10, now=100.0)
    left.advance(2)
    assert left.told(120.0) == "20 %, about 80 s left"
    assert TimeLeft(None, 0.0).told(5.0) == "0 done"


def test_until_a_fold_has_ended_there_is_only_a_bound() -> None:
    left = TimeLeft(800, now=0.0)
    left.may_end_early()
    left.advance(20)
    assert left.told(20.0) == "2 %, at most 13 min left"


def test_folds_that_end_early_never_let_the_time_left_grow() -> None:
    # 4 folds of at most 200 epochs, each of which ends after 50; an epoch takes a second.
    left, now, told = TimeLeft(800, now=0.0), 0.0, []
    left.may_end_early()
    for _ in range(4):
        for _ in range(50):
            now += 1.0
            left.advance(1)
            told.append(left.seconds(now))
        assert left.ended(50, 200) == 150
        told.append(left.seconds(now))
    assert told[49] == 750  # at most, just before the first fold ends
    assert told[50] == 150  # exactly, just after
    assert all(later <= earlier for earlier, later in pairwise(told))
    assert told[-1] == 0


def test_two_folds_at_a_time_are_both_counted() -> None:
    left = TimeLeft(800, now=0.0)
    left.may_end_early()
    left.advance(90)  # 50 of one fold, 40 of another, in 45 seconds
    left.ended(50, 200)
    # 3 folds of 50 are left, less the 40 epochs of the one that runs, at 2 epochs a second.
    assert left.seconds(45.0) == (150 - 40) / 2


def test_what_was_there_already_teaches_nothing_and_takes_no_time() -> None:
    left = TimeLeft(600, now=0.0)
    left.may_end_early()
    left.ended(None, 200)  # a fold of an earlier run
    left.ended(None, 30)  # epochs of the one that goes on
    left.advance(20)
    assert left.words(40.0) == "at most 12 min"  # 350 epochs of 2 s
    left.ended(20, 170)
    assert left.words(40.0) == f"about {told_time(200 * 20 / 170 * 2)}"


def test_a_fold_that_runs_longer_than_the_others_leaves_a_little() -> None:
    left = TimeLeft(400, now=0.0)
    left.advance(10)
    left.ended(10, 200)
    left.advance(60)
    assert left.seconds(70.0) == 1.0


def test_without_any_epoch_the_parts_themselves_are_counted() -> None:
    left = TimeLeft(600, now=0.0)
    left.ended(None, 200)
    assert left.seconds(7.0) == 14.0
