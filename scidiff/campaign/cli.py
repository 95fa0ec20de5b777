"""Command line: ``scidiff campaign run | check | status | select | export | script``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from scidiff.io.command import Json, tell

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Batch design campaigns: run, stop, go on, select, export.")

File = Annotated[Path, typer.Argument(help="Specification of the campaign, a TOML file.")]
Where = Annotated[str, typer.Argument(help="Folder of the campaign: a path, or an address such as s3://bucket/run.")]


@app.callback()
def root() -> None:
    """Batch design campaigns: run, stop, go on, select, export."""
    from .packages import require_packages

    require_packages()


@app.command()
def run(
    specification: File,
    out: Annotated[str, typer.Option(help="Folder of the campaign; a run that was ended goes on from it.")],
    workers: Annotated[
        int | None, typer.Option(help="Processes on this machine; 0 works in this one; 1 by default.", min=0)
    ] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, tcp://host:port.")] = None,
    slurm: Annotated[Path | None, typer.Option(help="Settings of SLURM jobs, a TOML file.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try quarantined shards again.")] = False,
    other_versions: Annotated[
        bool, typer.Option("--other-versions", help="Go on with a folder that other versions began.")
    ] = False,
    to_json: Json = None,
) -> int:
    """Run a campaign, or go on with one; exit code 1 if shards are quarantined, 130 after Ctrl-C."""
    from .runner import check_place
    from .runner import run as work
    from .slurm import read_slurm

    check_place(workers, scheduler, slurm)
    jobs = None if slurm is None else read_slurm(slurm)
    try:
        outcome = work(
            specification,
            out,
            workers=workers,
            scheduler=scheduler,
            slurm=jobs,
            retry=retry,
            other_versions=other_versions,
            progress=True,
        )
    except KeyboardInterrupt:
        print(f"scidiff: interrupted; run the same command again to go on from {out}", file=sys.stderr)
        raise
    share = f"{outcome.valid / outcome.rows:.2%}" if outcome.rows else "-"
    lines = [
        f"{outcome.rows:,} rows, valid {share}, accepted {outcome.accepted:,} in {out}: {outcome.why}",
        *(f"shard {shard} is quarantined: {why}" for shard, why in outcome.quarantined.items()),
        *(f"shard {shard} was damaged and is made anew" for shard in outcome.mended),
    ]
    facts = {**vars(outcome), "quarantined": {str(k): why for k, why in outcome.quarantined.items()}, "out": out}
    tell(facts, to_json, lines)
    return 1 if outcome.quarantined else 0


@app.command()
def check(specification: File, to_json: Json = None) -> None:
    """Check a specification and print its plan; nothing is sampled or written."""
    from .runner import open_plan

    plan = open_plan(specification)
    settings = plan.specification
    facts: dict[str, Any] = {
        "name": settings.name,
        "domain": settings.domain,
        "hash": plan.hash,
        "seed": plan.seed,
        "conditions": list(plan.conditions),
        "rows": plan.total,
        "shards": plan.shards,
        "steps": settings.sampler.steps,
        "scores": [scorer.name for scorer in plan.scorers],
    }
    if settings.steer is not None:
        facts["steer"] = settings.steer.model_dump()
    tell(facts, to_json, [f"{name}: {value}" for name, value in facts.items()])


@app.command()
def status(folder: Where, to_json: Json = None) -> None:
    """Say how far a campaign is, running or not."""
    from .state import status as look

    found = look(folder)
    tell(found.as_json(), to_json, found.lines())


@app.command()
def select(
    folder: Where,
    count: Annotated[int | None, typer.Option(help="Number of picks.", min=1)] = None,
    maximise: Annotated[list[str] | None, typer.Option(help="A score of which more is better.")] = None,
    minimise: Annotated[list[str] | None, typer.Option(help="A score of which less is better.")] = None,
    where: Annotated[str, typer.Option(help="A condition of SQL on the columns, e.g. 'qed > 0.8'.")] = "",
    per_group: Annotated[int | None, typer.Option(help="Rows of one family, e.g. of a scaffold.", min=1)] = None,
    pool: Annotated[int | None, typer.Option(help="Rows that the best fronts hold at least.", min=1)] = None,
    radius: Annotated[float | None, typer.Option(help="Radius of clusters.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the picks to this file, as 'export' does.")] = None,
    to_json: Json = None,
) -> None:
    """Pick rows: Pareto fronts, families, the most different ones; the picks stay in the folder."""
    from .exporting import export as write
    from .selection import select as pick

    found = pick(
        folder,
        count=count,
        maximise=maximise or None,
        minimise=minimise or None,
        condition=where,
        per_group=per_group,
        pool=pool,
        radius=radius,
    )
    if out is not None:
        write(folder, out, found)
    steps = ("accepted", "pool", "capped", "picked")
    told = ", ".join(f"{step} {found.facts[step]:,}" for step in steps if step in found.facts)
    tell({**found.facts, "index": found.index.tolist(), "rank": found.rank.tolist()}, to_json, [told])


@app.command()
def export(
    folder: Where,
    out: Annotated[Path, typer.Option(help="File to write: .csv, .parquet, or a form of the domain.")],
    where: Annotated[
        str | None, typer.Option(help="Rows by a condition of SQL, 'true' for all; by default those of 'select'.")
    ] = None,
    to_json: Json = None,
) -> None:
    """Write rows to a file: those that were selected, or those of a condition."""
    from .exporting import export as write
    from .folder import Folder
    from .selection import FILE, load_selection

    chosen = load_selection(folder) if where is None and Folder.at(folder).exists(FILE) else None
    count = write(folder, out, chosen, condition=where or "accepted")
    tell({"out": str(out), "count": count}, to_json, [f"{count:,} rows to {out}"])


@app.command()
def script(
    settings: Annotated[Path, typer.Argument(help="Settings of SLURM jobs, a TOML file.")],
    threads: Annotated[int, typer.Option(help="Threads of each worker.", min=1)] = 1,
    scheduler: Annotated[str, typer.Option(help="Address of the coordinator.")] = "tcp://COORDINATOR:8786",
) -> None:
    """Print the script of one SLURM job."""
    from .slurm import read_slurm

    sys.stdout.write(read_slurm(settings).script(threads, scheduler))
