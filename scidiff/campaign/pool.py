"""Where shards are made: the interface of a pool, and the pool that is this process.

A pool takes jobs and gives back events. It knows nothing of campaigns; the runner knows nothing of processes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from scidiff.campaign.worker import Job, Report, make_shard

__all__ = ["Event", "Here", "Pool"]


@dataclass(frozen=True)
class Event:
    """Something that happened to a job.

    Parameters
    ----------
    report
        What the worker says, or why it could not say anything.
    crashed
        Whether the worker died.
    lost
        Whether the job was lost on the way, by no fault of its own.
    """

    report: Report
    crashed: bool = False
    lost: bool = False


class Pool(Protocol):
    """Where jobs go."""

    @property
    def room(self) -> int:
        """Largest number of jobs that are to be there at a time."""
        ...

    def submit(self, job: Job) -> None:
        """Take a job."""
        ...

    def wait(self, seconds: float) -> list[Event]:
        """Return what has happened; wait for it, but not for longer than that."""
        ...

    def close(self) -> None:
        """Give up what is not finished."""
        ...


class Here:
    """This process: one job after the other, nothing started."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()

    @property
    def room(self) -> int:
        """One."""
        return 1

    def submit(self, job: Job) -> None:
        """Take a job."""
        self._jobs.append(job)

    def wait(self, seconds: float) -> list[Event]:
        """Do the next job."""
        return [Event(make_shard(self._jobs.popleft()))] if self._jobs else []

    def close(self) -> None:
        """Forget the jobs."""
        self._jobs.clear()
