"""The command ``scidiff proteins sample``: chains, assemblies and variants, each in its own file, with a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scidiff.errors import ConfigError
from scidiff.io.command import Device, Json, Seed, bar, tell

if TYPE_CHECKING:
    from .chains import Chains

__all__ = ["sample", "write_chains"]

_MADE_BY = "scidiff proteins sample"


def sample(
    out: Annotated[
        Path, typer.Option(help="Folder for sample_000.cif, ... and report.json; refused if it holds another run.")
    ],
    model: Annotated[str, typer.Option(help="Name of a bundled model, or a .safetensors file.")] = "chains",
    count: Annotated[int, typer.Option(help="Number of chains.", min=1)] = 8,
    length: Annotated[int | None, typer.Option(help="Residues of each chain; 64 where nothing else says it.")] = None,
    lengths: Annotated[str, typer.Option(help="Lengths to go through in turn, e.g. 48,60,72.")] = "",
    steps: Annotated[int, typer.Option(help="Network calls for each chain.", min=1)] = 20,
    seed: Seed = 0,
    temperature: Annotated[float, typer.Option(help="Temperature of the CA noise; below 1 more alike.")] = 1.0,
    secondary: Annotated[str, typer.Option(help="Plan, e.g. HHHHHHHH--EEEEE; C is coil too.")] = "",
    symmetry: Annotated[str, typer.Option(help="C3, D2, T, O, I or screw(rise,angle,count): assemblies.")] = "",
    start: Annotated[Path | None, typer.Option(help="Structure file whose first chain is varied.")] = None,
    freeze: Annotated[str, typer.Option(help="Residues of --start that do not move, e.g. A5-12/A30-40.")] = "",
    level: Annotated[
        float | None, typer.Option(help="Noise that --start is brought to, in (0, 1]; 0.5 where it is not given.")
    ] = None,
    relax: Annotated[bool, typer.Option(help="Close hydrogen bonds and remove clashes.")] = True,
    models: Annotated[bool, typer.Option("--models", help="Also write all chains as models of one file.")] = False,
    trajectory: Annotated[
        bool, typer.Option("--trajectory", help="Also write the path of the first sample as models of one file.")
    ] = False,
    device: Device = "cpu",
    to_json: Json = None,
) -> None:
    """Draw backbones and write each to an mmCIF file; the report stands beside them."""
    from .run_folder import check_free
    from .torsion.model import load, of_torsions

    of_free = {"--length": length is not None, "--lengths": bool(lengths), "--secondary": bool(secondary)}
    of_free |= {"--symmetry": bool(symmetry), "--no-relax": not relax, "--trajectory": trajectory}
    _check_start(start, {"--freeze": bool(freeze), "--level": level is not None}, of_free)
    sizes = _sizes(length, lengths, count)
    _check_files(models, trajectory, sizes, secondary)
    check_free(out)
    group = _symmetry(symmetry)
    loaded = load(model, device=device)
    common = {"count": count, "steps": steps, "seed": seed, "temperature": temperature}
    facts: dict[str, Any]
    if trajectory:
        of_torsions(loaded, "paths")
    if start is not None:
        chains, facts = _varied(loaded, start, freeze, 0.5 if level is None else level, common)
    else:
        chains, facts = _drawn(loaded, length, sizes, secondary, relax, common)
    written = _assembled(out, chains, group, seed) if group is not None else write_chains(out, chains, facts["source"])
    if models:
        _models(out / "models.cif", chains, facts["source"])
    if trajectory:
        _trajectory(out / "trajectory.cif", loaded, int(chains.lengths[0]), relax, common)
    _finish(out, chains, {**facts, **written}, to_json)


def _check_start(start: Path | None, of_start: Mapping[str, bool], of_free: Mapping[str, bool]) -> None:
    """Refuse options that mean nothing without a chain that is varied, or with one."""
    given = " and ".join(name for name, came in (of_start if start is None else of_free).items() if came)
    if given and start is None:
        raise ConfigError(f"{given} came without --start; give the file whose chain is varied")
    if given:
        raise ConfigError(
            f"--start came with {given}; variants have the length and the plan of the start, are relaxed, and are "
            "assembled by scidiff proteins assemble: leave that out"
        )


def _sizes(length: int | None, lengths: str, count: int) -> list[int] | None:
    """Length of each chain from a list that is gone through in turn; None without a list."""
    if not lengths:
        return None
    if length is not None:
        raise ConfigError(f"--length {length} and --lengths {lengths} came; give one of them")
    words = lengths.replace(",", " ").split()
    if not words or not all(word.isdigit() for word in words):
        raise ConfigError(f"--lengths {lengths} cannot be read; write 48,60,72")
    return [int(words[k % len(words)]) for k in range(count)]


def _check_files(models: bool, trajectory: bool, sizes: list[int] | None, secondary: str) -> None:
    """Refuse further files that the chains do not allow."""
    if models and len(set(sizes or ())) > 1:
        raise ConfigError("--models came with chains of several lengths; models of one file have equal residues")
    if trajectory and secondary:
        raise ConfigError("--trajectory came with --secondary; it shows samples whose plan is drawn")


def _symmetry(text: str) -> Any:
    from .symmetry import parse_symmetry

    return parse_symmetry(text) if text else None


def _drawn(
    loaded: Any, length: int | None, sizes: list[int] | None, secondary: str, relax: bool, common: dict[str, Any]
) -> tuple[Chains, dict[str, Any]]:
    """Free samples."""
    plan = secondary.upper().replace("C", "-") if secondary else None
    with bar("sampling", common["count"]) as advance:
        drawn = loaded.sample(length=length, lengths=sizes, secondary=plan, relax=relax, progress=advance, **common)
    source = {name: value for name, value in drawn.provenance.items() if isinstance(value, str | int | float)}
    facts = {
        "ok": int(drawn.ok.sum()),
        "status": [status.value for status in drawn.status],
        "plans": drawn.plans,
        "records": {name: values.tolist() for name, values in drawn.records.items()},
        "calls": int(drawn.calls.max()),
        "source": {"seed": drawn.seed, **source},
    }
    return drawn.chains, facts


def _varied(
    loaded: Any, start: Path, freeze: str, level: float, common: dict[str, Any]
) -> tuple[Chains, dict[str, Any]]:
    """Variants of a chain."""
    from .scaffolding.vary import frozen_mask, vary
    from .structures import read

    one = read(start).chains.take([0])
    mask = frozen_mask(one, freeze)
    done = vary(loaded, one, mask, level=level, **common)
    facts = {
        "ok": int(done.report.valid.sum()),
        "frozen": int(mask.sum()),
        "frozen_moved": done.moved.tolist(),
        "changed": done.changed.tolist(),
        "source": {"seed": common["seed"], "model": loaded.name, "start": start.name, "level": level, "freeze": freeze},
    }
    return done.chains, facts


def write_chains(
    out: Path, chains: Chains, source: dict[str, Any], names: Sequence[str] = (), *, made_by: str = _MADE_BY
) -> dict[str, Any]:
    """Write each chain to its own mmCIF file.

    Parameters
    ----------
    out
        The folder; made where it is not there.
    chains
        The chains.
    source
        Header of each file.
    names
        Names of the files without ending; ``sample_000`` and so on by default.
    made_by
        The command that made the chains, for the headers.

    Returns
    -------
    dict
        ``files``, their names.
    """
    from dataclasses import replace

    from .writers import write

    out.mkdir(parents=True, exist_ok=True)
    files = []
    for k in range(len(chains)):
        one = replace(chains.take([k]), labels=("A",))
        path = out / f"{names[k] if names else f'sample_{k:03d}'}.cif"
        files.append(write(path, one, {"made_by": made_by, "sample": k, **source}).name)
    return {"files": files}


def _assembled(out: Path, chains: Chains, group: Any, seed: int) -> dict[str, Any]:
    """Assemble every chain, and write the assemblies."""
    from scidiff.random import Noise

    from .docking import dock
    from .secondary import STRAND, assign_together
    from .writers import write

    out.mkdir(parents=True, exist_ok=True)
    files, clashes, errors, radii, strands = [], [], [], [], []
    for k in range(len(chains)):
        done = dock(chains.take([k]), group, Noise.range(seed, 1, k))
        header = {"made_by": _MADE_BY, "symmetry": group.name, "sample": k, "seed": seed}
        files.append(write(out / f"sample_{k:03d}.cif", done.chains, header).name)
        clashes.append(done.clashes)
        errors.append(done.error)
        radii.append(done.radius)
        states = assign_together(done.chains)
        strands.append(float(((states == STRAND) & done.chains.mask).sum() / done.chains.mask.sum()))
    return {
        "files": files,
        "symmetry": group.name,
        "clashes_between_copies": clashes,
        "symmetry_error": max(errors),
        "radius": radii,
        "strand_of_assembly": strands,
    }


def _models(path: Path, chains: Chains, source: dict[str, Any]) -> None:
    """All chains as models of one file."""
    from dataclasses import replace

    from .writers import write

    rows = [replace(chains.take([k]), labels=("A",), names=("model",)) for k in range(len(chains))]
    plain = [replace(row, sequence=rows[0].sequence) for row in rows]
    write(path, plain, {"made_by": _MADE_BY, **source})


def _trajectory(path: Path, loaded: Any, length: int, relax: bool, common: dict[str, Any]) -> None:
    """Path of the first sample."""
    from .trajectory import trajectory
    from .writers import write

    how = {name: value for name, value in common.items() if name != "count"}
    frames = trajectory(loaded, length, relax=relax, **how)
    write(path, frames, {"made_by": _MADE_BY, "relax": relax, **how})


def _finish(out: Path, chains: Chains, facts: dict[str, Any], to_json: Path | None) -> None:
    """Report on the chains, into the folder and to the caller."""
    from .run_folder import write_report
    from .validation import validate

    report = validate(chains)
    whole = {**report.as_json(), "gates_together": report.gates_together(), "out": str(out), **facts}
    write_report(out, {**whole, "chains": report.rows()})
    gates = whole["gates_together"]
    line = f"{len(chains)} chains to {out}: valid {whole['valid']:.0%}, through all gates {gates['value']:.0%} "
    line += f"[{gates['interval'][0]:.0%}, {gates['interval'][1]:.0%}] (real chains {gates['real_chains']:.0%})"
    more = [f"clashes between copies {facts['clashes_between_copies']}"] if "symmetry" in facts else []
    moved = facts.get("frozen_moved")
    more += [f"frozen residues moved by at most {max(moved):.1e} Å"] if moved else []
    tell(whole, to_json, [line, *more])
