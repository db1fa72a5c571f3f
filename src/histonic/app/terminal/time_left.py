"""How long a stage will still take, also one whose parts may need fewer steps than they were given."""

from __future__ import annotations


def told_time(seconds: float) -> str:
    """A duration in the unit that a reader thinks in.

    Example:
        >>> told_time(89), told_time(620), told_time(12000)
        ('89 s', '10 min', '3 h 20 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class TimeLeft:
    """Steps of a stage against time.

    Training may end long before its last epoch. Networks that have ended tell how many of their epochs the
    others will take; until the first one has, what is known is a bound.

    Args:
        total: Steps of the stage; None if not known.
        now: When it begins, in seconds.

    Example:
        >>> left = TimeLeft(400, now=0.0)
        >>> left.may_end_early()
        >>> left.advance(50)
        >>> left.told(100.0)  # 50 of 400 epochs, 2 s each
        '12 %, at most 12 min left'
        >>> left.ended(50, 200)  # the first network did not need 150 of its 200
        150
        >>> left.told(100.0)
        '50 %, about 2 min left'
    """

    def __init__(self, total: int | None, now: float) -> None:
        self._total = total
        self._began = now
        self._done = self._timed = 0
        self._ended_most = self._ended_took = self._learned_most = 0
        self._early = False
        self._share = 0.0

    def may_end_early(self) -> None:
        """Some parts of the stage may need fewer steps than they have."""
        self._early = True

    def advance(self, steps: int) -> None:
        """So many steps were done."""
        self._done += steps
        self._timed += steps
        if steps:
            self._share = 0.0

    def doing(self, share: float) -> None:
        """So much of the next step is done, 0 to 1."""
        self._share = share

    def ended(self, took: int | None, most: int) -> int:
        """A part has ended.

        Args:
            took: Its steps that were done; None if it needed none, as it was there already.
            most: Its steps as the total counts them.

        Returns:
            The steps that it did not need.
        """
        self._early = True
        self._ended_most += most
        if took is not None:
            self._ended_took += took
            self._learned_most += most
        spared = most - (took or 0)
        self._done += spared
        return spared

    def seconds(self, now: float) -> float | None:
        """Seconds left, or at most so many where nothing has ended yet; None if nothing is known."""
        done, timed = self._done + self._share, self._timed + self._share
        if not self._total or not done:
            return None
        if not self._early or not timed:
            return (now - self._began) * max(self._total - done, 0.0) / done
        share = self._ended_took / self._learned_most if self._learned_most else 1.0
        running = timed - self._ended_took
        wanted = (self._total - self._ended_most) * share - running
        # Those that run now may take longer than those before them; what is left is never less than nothing.
        left = min(max(wanted, 1.0), self._total - done) if done < self._total else 0.0
        return (now - self._began) / timed * left

    def words(self, now: float) -> str:
        """Only the time, such as ``about 3 min``; empty if nothing is known."""
        seconds = self.seconds(now)
        if seconds is None:
            return ""
        return f"{'at most' if self._early and not self._learned_most else 'about'} {told_time(seconds)}"

    def told(self, now: float) -> str:
        """How much is done, and the time left, in words."""
        words = self.words(now)
        if not self._total:
            return f"{self._done} done"
        share = f"{100 * (self._done + self._share) // self._total:.0f} %"
        return f"{share}, {words} left" if words else share
