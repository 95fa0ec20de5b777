"""Command line of the domain: ``scidiff molecules sample | scaffold | conformers | validate | evaluate | train``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scidiff.errors import ConfigError
from scidiff.io.command import Device, Devices, Float32, Json, MaxMinutes, RunFolder, Seed, Threads, bar, tell

if TYPE_CHECKING:
    from .model import MoleculeModel

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Generate molecules that are valid by construction.")

Count = Annotated[int, typer.Option(help="Number of molecules.", min=1)]
Steps = Annotated[int, typer.Option(help="Network calls for each molecule.", min=1)]
Out = Annotated[Path, typer.Option(help="File to write: .smi, .csv or .sdf.")]
Model = Annotated[str, typer.Option(help="Name of a bundled model, or a .safetensors file.")]
Temperature = Annotated[float, typer.Option(help="Temperature of the atoms; below 1 more typical, less diverse.")]
Batch = Annotated[int, typer.Option("--batch-size", help="Molecules in one network call.", min=1)]
File = Annotated[Path, typer.Argument(help="SMILES file: .smi, .txt, .csv with a column 'smiles', or .gz of these.")]


@app.command()
def sample(
    out: Out,
    model: Model = "qm9",
    count: Count = 1000,
    steps: Steps = 20,
    seed: Seed = 0,
    temperature: Temperature = 1.0,
    batch_size: Batch = 1024,
    device: Device = "cpu",
    to_json: Json = None,
) -> None:
    """Draw molecules and write them to a file."""
    settings = {"steps": steps, "seed": seed, "temperature": temperature, "batch_size": batch_size}
    _sample(out, model, device, to_json, count, **settings)


@app.command()
def scaffold(
    query: Annotated[
        str, typer.Argument(help="SMILES or definite SMARTS; * marks attachment points, '.' parts to link.")
    ],
    out: Out,
    model: Model = "qm9",
    count: Count = 100,
    steps: Steps = 20,
    seed: Seed = 0,
    temperature: Temperature = 1.0,
    batch_size: Batch = 1024,
    device: Device = "cpu",
    to_json: Json = None,
) -> None:
    """Extend a scaffold, or link several parts; every molecule contains the query."""
    settings = {"steps": steps, "seed": seed, "temperature": temperature, "batch_size": batch_size}
    _sample(out, model, device, to_json, count, scaffold=query, **settings)


@app.command()
def conformers(
    smiles: Annotated[list[str], typer.Argument(help="Neutral molecules of at most six C, N, O, F atoms.")],
    out: Annotated[Path, typer.Option(help="File to write: .sdf.")],
    model: Annotated[str, typer.Option(help="Bundled conformer model, or a .safetensors file.")] = "conformers",
    count: Annotated[int, typer.Option(help="Conformers of each molecule.", min=1)] = 1,
    steps: Annotated[int, typer.Option(help="Network calls for each conformer.", min=1)] = 20,
    seed: Seed = 0,
    device: Device = "cpu",
    to_json: Json = None,
) -> None:
    """Draw three-dimensional shapes of molecules; heavy atoms only, stereo marks are respected."""
    from .conformers import load
    from .conformers.writer import check_ending

    check_ending(out)
    samples = load(model, device=device).sample(smiles, count, steps=steps, seed=seed)
    samples.save(out)
    good, seconds = int(samples.ok.sum()), samples.provenance["seconds"]
    facts = {"out": str(out), "count": len(samples), "ok": good, "seed": seed, **samples.provenance}
    tell(facts, to_json, [f"{good} of {len(samples)} conformers in {seconds:.1f} s to {out}"])


@app.command()
def validate(file: File, to_json: Json = None) -> int:
    """Check a SMILES file: readable, connected, no radicals; exit code 1 if a molecule is not valid."""
    from .data import read_smiles
    from .validation import validate as check

    found = read_smiles(file)
    rows = [*found.smiles, *(bad.text for bad in found.bad)]
    report = check(rows)
    facts = {**report.as_json(), "file": str(file), "bad_rows": len(found.bad)}
    lines = [f"line {bad.line}: {bad.reason}" for bad in found.bad[:10]]
    tell(facts, to_json, [f"{name}: {value}" for name, value in facts.items()] + lines)
    return 0 if report.valid == 1.0 else 1


@app.command()
def evaluate(
    file: File,
    data: Annotated[str, typer.Option(help="Data set known by name, whose held-out part is the reference.")] = "qm9",
    reference: Annotated[Path | None, typer.Option(help="SMILES file to compare with, instead of --data.")] = None,
    train: Annotated[Path | None, typer.Option(help="SMILES file of training molecules, with --reference.")] = None,
    seed: Seed = 0,
    fcd: Annotated[bool, typer.Option(help="Compute the Frechet ChemNet distance (the slow part).")] = True,
    workers: Annotated[int, typer.Option(help="Processes for descriptors.", min=1)] = 1,
    to_json: Json = None,
) -> None:
    """Compare a SMILES file with a reference: validity, novelty, MOSES and GuacaMol metrics, with intervals."""
    from .data import read_smiles
    from .evaluation import evaluate as compare
    from .metrics import Settings

    if train is not None and reference is None:
        raise ConfigError("--train came without --reference; give both files, or --data alone")
    found = read_smiles(file)
    settings = Settings(workers=workers, attempts=len(found.smiles) + len(found.bad))
    report = compare(
        [*found.smiles, *(None for _ in found.bad)],
        data if reference is None else None,
        reference=None if reference is None else read_smiles(reference).smiles,
        train=None if train is None else read_smiles(train).smiles,
        seed=seed,
        fcd=fcd,
        settings=settings if reference is None else replace(settings, split=reference.name),
    )
    notes = [found.message] if found.bad else []
    tell(report.as_json(), to_json, [*(_metric_line(row) for row in report.table()), *notes])


@app.command()
def train(
    out: RunFolder,
    data: Annotated[str, typer.Option(help="Name of a data set (scidiff data list), or a SMILES file.")] = "universe",
    size: Annotated[str, typer.Option(help="tiny, small, medium or large.")] = "small",
    steps: Annotated[int, typer.Option(help="Optimizer steps.", min=1)] = 14000,
    batch_size: Annotated[int, typer.Option(help="Molecules per step and process.", min=1)] = 256,
    learning_rate: Annotated[float, typer.Option(help="Peak of the cosine schedule.")] = 1e-3,
    seed: Seed = 0,
    float32: Float32 = False,
    threads: Threads = None,
    devices: Devices = 1,
    max_minutes: MaxMinutes = None,
) -> None:
    """Train a model, or go on with a run that was interrupted."""
    from scidiff.train import Precision

    from .recipes import train as run

    result = run(
        data,
        out,
        size=size,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        precision=Precision.FLOAT32 if float32 else Precision.BF16,
        threads=threads,
        devices=devices,
        max_seconds=None if max_minutes is None else 60 * max_minutes,
    )
    print(result.model)


@app.command()
def train_conformers(
    out: RunFolder,
    steps: Annotated[int, typer.Option(help="Optimizer steps.", min=1)] = 16000,
    batch_size: Annotated[int, typer.Option(help="Conformers per step.", min=1)] = 256,
    learning_rate: Annotated[float, typer.Option(help="Peak of the cosine schedule.")] = 2e-3,
    seed: Seed = 0,
    threads: Threads = None,
    max_minutes: MaxMinutes = None,
) -> None:
    """Train the conformer model on the enumerated universe, or go on with a run that was interrupted."""
    from .conformers.recipe import train as run

    result = run(
        out,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        threads=threads,
        max_seconds=None if max_minutes is None else 60 * max_minutes,
    )
    print(result.model)


def _sample(out: Path, model: str, device: str, to_json: Path | None, count: int, **settings: Any) -> None:
    """Load, draw, write, and say what was done."""
    from .model import load
    from .validation import validate as check
    from .writers import check_ending

    check_ending(out)
    loaded: MoleculeModel = load(model, device=device)
    with bar("sampling", count) as advance:
        samples = loaded.sample(count, progress=advance, **settings)
    samples.save(out)
    facts = {**check(samples).as_json(), "out": str(out), "seed": samples.seed, **samples.provenance}
    seconds = samples.provenance["seconds"]["total"]
    rates = f"valid {facts['valid']:.2%}, unique {facts['unique']:.2%}"
    tell(facts, to_json, [f"{len(samples)} molecules in {seconds:.1f} s to {out}: {rates}"])


def _metric_line(row: dict[str, Any]) -> str:
    """One metric of a report as one line."""
    number = lambda value: "-" if value is None else f"{value:.4g}"  # noqa: E731
    interval = f"[{number(row['low'])}, {number(row['high'])}]"
    return f"{row['name']:18s} {number(row['value']):>9s} {interval:22s} training set {number(row['training_set']):>9s}"
