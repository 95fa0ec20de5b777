"""Workers of Dask distributed: a local cluster by default, or any scheduler by its address.

The local cluster runs one process for each worker, without a dashboard, on the loopback interface, with the threads of
the numerical libraries bounded before a worker starts. A job whose worker dies comes back as a crash at once: the
runner decides whether it is tried again. A scheduler of one's own does the same if its configuration has
``distributed.scheduler.allowed-failures: 0``; otherwise it tries a job on further workers before it says so.
"""

from __future__ import annotations

import contextlib
import logging
import queue
from collections.abc import Iterator
from typing import Any

from scidiff.campaign.pool import Event
from scidiff.campaign.worker import Job, Report, make_shard
from scidiff.errors import DataError

__all__ = ["DaskPool", "job_queue_pool", "local_pool", "remote_pool"]

_LIBRARIES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_LOG = 1000


class DaskPool:
    """Jobs on a cluster.

    Parameters
    ----------
    client
        A client of Dask distributed.
    each
        Jobs for each thread of a worker at a time: one that is made, and one that waits for it.
    """

    def __init__(self, client: Any, each: int = 2) -> None:
        self._client, self._each = client, each
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._jobs: dict[Any, Job] = {}
        self._tries = 0

    @property
    def room(self) -> int:
        """Jobs that keep all workers busy."""
        return max(1, self._each * sum(self._client.nthreads().values()))

    def submit(self, job: Job) -> None:
        """Send a job."""
        self._tries += 1
        key = f"shard-{job.hash[:12]}-{job.shard:08d}-{self._tries}"
        future = self._client.submit(make_shard, job, key=key, pure=False, retries=0)
        self._jobs[future] = job
        future.add_done_callback(self._done.put)

    def wait(self, seconds: float) -> list[Event]:
        """Return what has happened."""
        try:
            futures = [self._done.get(timeout=seconds)]
        except queue.Empty:
            if self._client.status in ("closed", "closing"):
                raise DataError("the scheduler is gone; start it, and run the campaign again to go on") from None
            return []
        with contextlib.suppress(queue.Empty):
            while True:
                futures.append(self._done.get_nowait())
        return [self._event(future) for future in futures]

    def _event(self, future: Any) -> Event:
        """Turn a finished future into an event, and let it go."""
        from distributed import KilledWorker

        job = self._jobs.pop(future)
        try:
            if future.status == "finished":
                return Event(future.result())
            if future.status != "error":
                return Event(Report(job.shard, reason="the scheduler lost the job"), lost=True)
            error = future.exception()
            killed = isinstance(error, KilledWorker)
            reason = "its worker died" if killed else f"{type(error).__name__}: {' '.join(str(error).split())}"
            return Event(Report(job.shard, reason=reason[:2000]), crashed=killed)
        finally:
            future.release()

    def close(self) -> None:
        """Cancel what is not finished."""
        self._client.cancel(list(self._jobs), force=True)
        self._jobs.clear()


@contextlib.contextmanager
def _settings(threads: int) -> Iterator[None]:
    """Settings of Dask while a local cluster is there."""
    import dask

    fixed = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.admin.low-level-log-length": _LOG,
        "distributed.admin.log-length": _LOG,
        "distributed.nanny.pre-spawn-environ": dict.fromkeys(_LIBRARIES, str(threads)),
        "distributed.worker.preload": ["scidiff.campaign.worker_start"],
    }
    with dask.config.set(fixed):
        yield


@contextlib.contextmanager
def local_pool(workers: int, threads: int) -> Iterator[DaskPool]:
    """Start workers on this machine.

    Parameters
    ----------
    workers
        Number of processes.
    threads
        Threads of the numerical libraries in each.

    Yields
    ------
    DaskPool
        The pool; the processes end with the block.
    """
    import tempfile

    from distributed import Client, LocalCluster

    with (
        tempfile.TemporaryDirectory(prefix="scidiff-campaign-", ignore_cleanup_errors=True) as scratch,
        _settings(threads),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
            local_directory=scratch,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield from _closing(DaskPool(client))


@contextlib.contextmanager
def job_queue_pool(make: Any, jobs: int, threads: int, settings: dict[str, Any]) -> Iterator[DaskPool]:
    """Keep jobs of workers in the queue of a cluster.

    Parameters
    ----------
    make
        Class of dask-jobqueue, e.g. ``SLURMCluster``.
    jobs
        Number of jobs.
    threads
        Threads of the numerical libraries in each worker.
    settings
        Arguments of the class.

    Yields
    ------
    DaskPool
        The pool; the jobs end with the block.
    """
    from distributed import Client

    with (
        _settings(threads),
        make(**settings, scheduler_options={"dashboard_address": None}) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        cluster.scale(jobs=jobs)
        yield from _closing(DaskPool(client))


@contextlib.contextmanager
def remote_pool(address: str) -> Iterator[DaskPool]:
    """Use the workers of a scheduler.

    Parameters
    ----------
    address
        Its address, e.g. ``tcp://node1:8786``.

    Yields
    ------
    DaskPool
        The pool; scheduler and workers stay.

    Raises
    ------
    DataError
        If nothing answers there.
    """
    from distributed import Client

    try:
        client = Client(address, set_as_default=False, timeout=15)
    except (OSError, ValueError, TimeoutError) as error:
        raise DataError(f"no scheduler answers at {address}: {error}; start one, or correct the address") from error
    with client:
        yield from _closing(DaskPool(client))


def _closing(pool: DaskPool) -> Iterator[DaskPool]:
    try:
        yield pool
    finally:
        pool.close()
