"""What is known of the shards of a campaign, in a few bytes for each, and when the campaign is over.

Stop rules look at the shards ``0 .. k`` that are all settled, never at how far the workers have run ahead: the shard at
which a rule holds does not depend on the number of workers, and shards beyond it are taken away.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from scidiff.campaign.specification import Stop

__all__ = ["Ledger"]

_FEW = 1000


@dataclass(eq=False)
class Ledger:
    """Counts of the shards.

    Parameters
    ----------
    rows
        Rows of each shard.
    stop
        Rules that end the campaign.
    given_up
        Reason for each shard that was given up, by its number.
    ended
        Why the campaign ended before its last shard; empty while it has not.
    """

    rows: np.ndarray
    stop: Stop
    valid: np.ndarray = field(init=False)
    accepted: np.ndarray = field(init=False)
    done: np.ndarray = field(init=False)
    given_up: dict[int, str] = field(default_factory=dict)
    ended: str = ""
    _settled: int = 0
    _sums: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        count = len(self.rows)
        self.valid = np.zeros(count, dtype=np.int32)
        self.accepted = np.zeros(count, dtype=np.int32)
        self.done = np.zeros(count, dtype=bool)

    def book(self, shard: int, valid: int, accepted: int) -> None:
        """A shard has its file."""
        self.done[shard] = True
        self.valid[shard], self.accepted[shard] = valid, accepted
        self.given_up.pop(shard, None)
        self._advance()

    def give_up(self, shard: int, reason: str) -> None:
        """A shard is quarantined."""
        self.given_up[shard] = reason
        self._advance()

    @property
    def settled(self) -> int:
        """Number of the first shards that are all done or given up; once a rule holds, it stays."""
        return self._settled

    @property
    def sums(self) -> tuple[int, int, int]:
        """Rows, valid rows and accepted rows of all shards that are done."""
        return (
            int(self.rows[self.done].sum()),
            int(self.valid.sum(dtype=np.int64)),
            int(self.accepted.sum(dtype=np.int64)),
        )

    def forget_beyond(self) -> list[int]:
        """Forget the shards beyond the one at which a rule held, and return those that are done or given up."""
        done = {int(k) for k in np.flatnonzero(self.done[self._settled :]) + self._settled}
        beyond = sorted(done | {shard for shard in self.given_up if shard >= self._settled})
        for part in (self.done, self.valid, self.accepted):
            part[self._settled :] = 0
        self.given_up = {shard: reason for shard, reason in self.given_up.items() if shard < self._settled}
        return beyond

    def _advance(self) -> None:
        """Move over settled shards until one is open or a rule holds."""
        while not self.ended and self._settled < len(self.rows):
            shard = self._settled
            if self.done[shard]:
                more = (int(self.rows[shard]), int(self.valid[shard]), int(self.accepted[shard]))
                self._sums = tuple(a + b for a, b in zip(self._sums, more, strict=True))
            elif shard not in self.given_up:
                return
            self._settled += 1
            self.ended = self._rule()

    def _rule(self) -> str:
        """Say which rule holds."""
        rows, valid, accepted = self._sums
        lost = sum(shard < self._settled for shard in self.given_up)
        if self.stop.accepted is not None and accepted >= self.stop.accepted:
            return f"{accepted} rows are accepted"
        if self.stop.least_valid is not None and rows >= _FEW and valid < self.stop.least_valid * rows:
            return f"{valid} of {rows} rows are valid, fewer than stop.least_valid"
        if lost >= self.stop.quarantined:
            return f"{lost} shards are quarantined"
        return ""
