"""Workers of SLURM through dask-jobqueue: each job of the queue is a few workers that report to the coordinator.

The settings are a TOML file of their own, because they say nothing about the content of a campaign::

    queue = "short"          jobs = 10
    cores = 8                workers = 4
    memory = "16GB"          walltime = "04:00:00"

A worker that the queue ends is a crash like any other: its shard is tried once more on another worker. A walltime well
above the time of a shard keeps that rare. The script of a job can be looked at without SLURM (`Slurm.script`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from scidiff.campaign.specification import read_model
from scidiff.errors import MissingPackageError

__all__ = ["Slurm", "read_slurm"]

_LIBRARIES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Slurm(BaseModel):
    """Settings of the jobs.

    Parameters
    ----------
    queue, account
        Partition and account; those of the site by default.
    jobs
        Jobs that are kept in the queue.
    cores
        Cores of one job.
    workers
        Workers in one job; its cores and its memory are divided among them.
    memory
        Memory of one job.
    walltime
        Time that one job asks for.
    interface
        Network interface over which workers reach the coordinator, e.g. ``"ib0"``.
    directives
        Further ``#SBATCH`` lines, e.g. ``"--gres=gpu:1"``.
    prologue
        Lines of the shell before the workers start, e.g. ``"module load cuda"``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    queue: str | None = None
    account: str | None = None
    jobs: Annotated[int, Field(ge=1, le=10_000)] = 1
    cores: Annotated[int, Field(ge=1, le=1024)] = 1
    workers: Annotated[int, Field(ge=1, le=1024)] = 1
    memory: Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?\s?[kKMGT]i?B$")] = "4GB"
    walltime: Annotated[str, StringConstraints(pattern=r"^(\d+-)?\d{1,2}:\d{2}:\d{2}$")] = "01:00:00"
    interface: str | None = None
    directives: list[str] = Field(default_factory=list)
    prologue: list[str] = Field(default_factory=list)

    def settings(self, threads: int) -> dict[str, Any]:
        """Arguments of dask-jobqueue.

        Parameters
        ----------
        threads
            Threads of the numerical libraries in each worker.
        """
        bounds = [f"export {name}={threads}" for name in _LIBRARIES]
        return {
            "queue": self.queue,
            "account": self.account,
            "cores": self.workers,
            "job_cpu": self.cores,
            "processes": self.workers,
            "memory": self.memory,
            "walltime": self.walltime,
            "interface": self.interface,
            "job_name": "scidiff-campaign",
            "job_extra_directives": self.directives,
            "job_script_prologue": [*bounds, *self.prologue],
        }

    def script(self, threads: int = 1, scheduler: str = "tcp://COORDINATOR:8786") -> str:
        """Write the script of one job; no SLURM is needed for it.

        Parameters
        ----------
        threads
            Threads of the numerical libraries in each worker.
        scheduler
            Address of the coordinator.

        Returns
        -------
        str
            A shell script for ``sbatch``.
        """
        return _package().slurm.SLURMJob(scheduler, "scidiff-campaign", **self.settings(threads)).job_script()

    @contextlib.contextmanager
    def pool(self, threads: int) -> Iterator[Any]:
        """Submit the jobs, and cancel them at the end.

        Parameters
        ----------
        threads
            Threads of the numerical libraries in each worker.

        Yields
        ------
        DaskPool
            The pool; it has room as soon as a job has started.
        """
        from scidiff.campaign.dask_pool import job_queue_pool

        with job_queue_pool(_package().SLURMCluster, self.jobs, threads, self.settings(threads)) as pool:
            yield pool


def _package() -> Any:
    try:
        import dask_jobqueue
        import dask_jobqueue.slurm
    except ImportError as error:
        raise MissingPackageError(
            "SLURM needs the package dask-jobqueue: pip install 'scidiff[campaign]'; or start workers yourself and "
            "give the address of their scheduler"
        ) from error
    return dask_jobqueue


def read_slurm(path: str | Path) -> Slurm:
    """Read the settings from a TOML file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Slurm
        The settings.

    Raises
    ------
    SpecificationError
        If a field cannot be used; it names the field and the line.
    """
    return read_model(Slurm, path)
