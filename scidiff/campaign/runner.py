"""The coordinator: which shards are to be made, and what is done when one fails.

It keeps as many jobs in flight as the pool has room for and forgets each with its report, so that its memory does not
grow with the campaign. A shard whose worker died, or that raised an error, is tried once more, with no other job in
flight, so that the blame is certain; a second failure puts it into quarantine, and the rest goes on. Every moment is a
good one to stop: what has a file is done, and what has none is made by the next run.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scidiff.campaign.folder import CARD, QUARANTINE, Folder
from scidiff.campaign.ledger import Ledger
from scidiff.campaign.plan import FORMAT, Plan, make_plan
from scidiff.campaign.pool import Event, Here, Pool
from scidiff.campaign.progress import Told, bar
from scidiff.campaign.shard_file import read_footer
from scidiff.campaign.specification import Specification, read, read_text
from scidiff.campaign.worker import Job, Report
from scidiff.errors import ConfigError, DataError
from scidiff.io.provenance import package_version

__all__ = ["Outcome", "open_plan", "run"]

_PACKAGES = ("scidiff", "torch", "numpy", "pyarrow")
_PATIENCE = 0.5


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Parameters
    ----------
    finished
        Whether nothing is left to do: all shards are settled, or a stop rule holds.
    why
        One line: ``complete``, the rule, or the budget that is used up.
    rows, valid, accepted
        Counts of the folder.
    made
        Shards that this run made.
    quarantined
        Reason of each shard that is given up.
    mended
        Shards whose files were damaged and are made anew.
    seconds
        Time of this run.
    """

    finished: bool
    why: str
    rows: int
    valid: int
    accepted: int
    made: int
    quarantined: dict[int, str]
    mended: tuple[int, ...]
    seconds: float


def run(
    specification: Specification | str | Path,
    out: str | Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    slurm: Any = None,
    retry: bool = False,
    source: str | Path | None = None,
    other_versions: bool = False,
    progress: bool = False,
) -> Outcome:
    """Run a campaign, or go on with one.

    A script that asks for workers guards its entry with ``if __name__ == "__main__":``, because they are new processes.

    Parameters
    ----------
    specification
        The specification, or its file.
    out
        Folder of the campaign: a path or an address of `fsspec`.
    workers
        Processes of the local cluster; 0 works in this one. One by default, where neither of the next two is given.
    scheduler
        Address of a scheduler of Dask, in place of a local cluster.
    slurm
        A `scidiff.campaign.slurm.Slurm`, in place of a local cluster.
    retry
        Try quarantined shards again.
    source
        Folder in which own scores are looked up; that of the file, or the present one.
    other_versions
        Go on with a folder that was begun under other versions of the software.
    progress
        Show a bar on a terminal.

    Returns
    -------
    Outcome
        How it ended. `KeyboardInterrupt` passes through, and leaves a folder that a next run goes on with.

    Raises
    ------
    SpecificationError
        If the specification cannot be used; nothing is written then.
    ConfigError, DataError
        If the folder belongs to another campaign or is in use, more than one place to work in is given, or the
        scheduler is gone.
    """
    check_place(workers, scheduler, slurm)
    plan = open_plan(specification, source)
    folder = Folder.at(out)
    if scheduler is None and slurm is None and workers is None:
        workers = 1
    if workers != 0 and not folder.shared:
        raise ConfigError(f"{folder.url} lives in this process alone; give workers=0, or another folder")
    with folder.alone():
        _begin(folder, plan, other_versions)
        return _conduct(plan, folder, retry, progress, lambda: _pool(plan, workers, scheduler, slurm))


def check_place(workers: int | None, scheduler: str | None, slurm: Any) -> None:
    """Refuse more than one place to work in.

    Parameters
    ----------
    workers, scheduler, slurm
        As of `run`.

    Raises
    ------
    ConfigError
        If more than one of them is given, or the number of workers is negative.
    """
    named = {"workers": workers, "scheduler": scheduler, "slurm": slurm}
    given = [name for name, value in named.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} came together; give one of them: each says where shards are made")
    if workers is not None and workers < 0:
        raise ConfigError(f"workers is {workers}; expected 0 for this process, or a number of processes")


def _conduct(plan: Plan, folder: Folder, retry: bool, progress: bool, make: Callable[[], Any]) -> Outcome:
    """Make what is missing, with a pool that is opened only if something is."""
    begun = time.perf_counter()
    ledger, mended = _survey(folder, plan, retry)
    desk = _Desk(plan, folder, ledger, begun)
    if desk.open():
        with make() as pool, bar(plan.total, ledger.sums[0], progress) as tell:
            desk.work(pool, tell)
    for shard in ledger.forget_beyond() if ledger.ended else ():
        folder.delete(folder.shard(shard))
        folder.delete(folder.note(shard))
    finished = bool(ledger.ended) or ledger.settled == plan.shards
    why = ledger.ended or ("complete" if finished else desk.why)
    given_up = dict(sorted(ledger.given_up.items()))
    return Outcome(finished, why, *ledger.sums, desk.made, given_up, mended, time.perf_counter() - begun)


def open_plan(specification: Specification | str | Path, source: str | Path | None = None) -> Plan:
    """Resolve a specification or its file.

    Parameters
    ----------
    specification
        The specification, or its file.
    source
        Folder in which own scores are looked up; that of the file, or the present one.

    Returns
    -------
    Plan
        The plan.
    """
    if isinstance(specification, Specification):
        return make_plan(specification, source or ".")
    path = Path(specification)
    return make_plan(read(path), source or path.parent, origin=str(path), text=read_text(path))


@contextlib.contextmanager
def _pool(plan: Plan, workers: int | None, scheduler: str | None, slurm: Any) -> Iterator[Pool]:
    """Open the pool that was asked for."""
    if workers == 0:
        yield Here()
        return
    from scidiff.campaign import dask_pool

    threads = plan.specification.shards.threads
    if slurm is not None:
        with slurm.pool(threads) as pool:
            yield pool
        return
    cluster = dask_pool.local_pool(workers, threads) if workers is not None else dask_pool.remote_pool(str(scheduler))
    with cluster as pool:
        yield pool


def _begin(folder: Folder, plan: Plan, other_versions: bool) -> None:
    """Write the card of a new folder, or make sure that it is that of this campaign."""
    card = {
        "format": FORMAT,
        "hash": plan.hash,
        "seed": plan.seed,
        "model": plan.fingerprint,
        "versions": {name: package_version(name) for name in _PACKAGES},
        "specification": plan.specification.model_dump(mode="json"),
    }
    if folder.exists(CARD):
        known = folder.read_json(CARD)
        if known.get("hash") != plan.hash:
            raise ConfigError(
                f"{folder.url} holds another campaign ({str(known.get('hash'))[:12]} instead of {plan.hash[:12]}): the "
                "specification, the model or a score has changed; choose another folder"
            )
        if known.get("versions") != card["versions"] and not other_versions:
            raise ConfigError(
                f"{folder.url} was begun with {known.get('versions')}, here are {card['versions']}: rows may differ in "
                "their last digits; install those versions, or allow other versions"
            )
        card["versions"] = known.get("versions")
    elif folder.numbers():
        raise ConfigError(f"{folder.url} has shards but no {CARD}; restore it, or choose another folder")
    folder.write_json(CARD, card)
    folder.sweep()


def _survey(folder: Folder, plan: Plan, retry: bool) -> tuple[Ledger, tuple[int, ...]]:
    """Read what is done off the files."""
    rows = np.array([len(plan.shard(k).rows) for k in range(plan.shards)], dtype=np.int32)
    ledger, mended = Ledger(rows, plan.specification.stop), []
    for shard in folder.numbers(QUARANTINE):
        if retry or folder.exists(folder.shard(shard)):
            folder.delete(folder.note(shard))
        elif shard < plan.shards:
            ledger.give_up(shard, str(folder.read_json(folder.note(shard)).get("reason", "")))
    for shard in folder.numbers():
        try:
            footer = read_footer(folder, shard)
        except DataError:
            mended.append(shard)
            continue
        if footer.campaign != plan.hash or shard >= plan.shards or footer.rows != rows[shard]:
            raise ConfigError(f"{folder.shard(shard)} in {folder.url} is of another campaign; move it away")
        ledger.book(shard, footer.valid, footer.accepted)
    return ledger, tuple(mended)


class _Desk:
    """What one run decides: which shard is next, which is tried again, when it is enough."""

    def __init__(self, plan: Plan, folder: Folder, ledger: Ledger, begun: float) -> None:
        self.plan, self.folder, self.ledger = plan, folder, ledger
        self.made, self.why = 0, "complete"
        self._specification = plan.specification.model_dump_json()
        self._suspects: deque[int] = deque()
        self._accused: set[int] = set()
        self._flying: set[int] = set()
        self._next = self._waiting()
        seconds = plan.specification.budget.seconds
        self._end = None if seconds is None else begun + seconds

    def _waiting(self) -> Iterator[int]:
        """Shards that have neither a file nor a note, within the budget of rows."""
        for shard in range(self.plan.affordable):
            if not self.ledger.done[shard] and shard not in self.ledger.given_up:
                yield shard
        if self.plan.affordable < self.plan.shards:
            self.why = f"budget.rows allows {self.plan.affordable} of {self.plan.shards} shards"

    def open(self) -> bool:
        """Whether there is anything to do; looks one shard ahead."""
        if self.ledger.ended:
            return False
        first = next(self._next, None)
        if first is not None:
            self._next = _before(first, self._next)
        return first is not None

    def work(self, pool: Pool, tell: Told) -> None:
        """Make shards until there is nothing left to do, or it is enough."""
        tell(*self.ledger.sums)
        while True:
            self._fill(pool)
            if not self._flying:
                return
            for event in pool.wait(_PATIENCE):
                self._hear(event)
            tell(*self.ledger.sums)

    def _fill(self, pool: Pool) -> None:
        """Send jobs: a suspect alone, others as many as there is room for."""
        if self._enough():
            return
        if self._suspects:
            if not self._flying:
                self._send(pool, self._suspects.popleft())
            return
        for shard in _some(self._next, pool.room - len(self._flying)):
            self._send(pool, shard)

    def _send(self, pool: Pool, shard: int) -> None:
        self._flying.add(shard)
        pool.submit(Job(self._specification, self.plan.source, self.plan.hash, self.folder.url, shard))

    def _enough(self) -> bool:
        """Whether a stop rule holds or the time is used up; what flies is still waited for."""
        if self._end is not None and time.perf_counter() > self._end:
            self.why = "budget.seconds is used up"
            return True
        return bool(self.ledger.ended)

    def _hear(self, event: Event) -> None:
        """Book what has happened to a job."""
        report = event.report
        self._flying.discard(report.shard)
        if event.lost:
            self._next = _before(report.shard, self._next)
        elif not report.reason:
            self.made += 1
            self._accused.discard(report.shard)
            self.ledger.book(report.shard, report.valid, report.accepted)
        elif report.shard in self._accused:
            self._quarantine(report)
        else:
            self._accused.add(report.shard)
            self._suspects.append(report.shard)

    def _quarantine(self, report: Report) -> None:
        """Give a shard up, with a note that says why."""
        self._accused.discard(report.shard)
        rows = self.plan.shard(report.shard).rows
        note = {"reason": report.reason, "shard": report.shard, "first": rows.start, "rows": len(rows), "tries": 2}
        self.folder.write_json(self.folder.note(report.shard), note)
        self.ledger.give_up(report.shard, report.reason)


def _before(first: int, rest: Iterator[int]) -> Iterator[int]:
    """Put a number in front of an iterator."""
    yield first
    yield from rest


def _some(numbers: Iterator[int], count: int) -> list[int]:
    """Take up to so many numbers."""
    return [number for _, number in zip(range(count), numbers, strict=False)]
