"""The command ``scidiff proteins motif``: scaffolds for contigs, for a motif file, or for a folder of MotifBench."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scidiff.errors import ConfigError
from scidiff.io.command import Device, Json, tell

if TYPE_CHECKING:
    from ..chains import Chains
    from ..design import Design
    from .scaffolds import Scaffolds, ScaffoldSettings
    from .twisted import TwistSettings

__all__ = ["motif"]


def motif(
    reference: Annotated[
        Path, typer.Argument(help="Structure file, MotifBench motif file, or folder with test_cases.csv.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the scaffolds and report.json; refused if it holds another run.")
    ],
    contigs: Annotated[str, typer.Option(help="RFdiffusion contigs, e.g. 5-15/A10-25/30-40.")] = "",
    hidden: Annotated[str, typer.Option(help="Kept residues whose type may change, e.g. A12/A14-16.")] = "",
    length: Annotated[str, typer.Option(help="Total length, 60 or 60-80.")] = "",
    model: Annotated[str, typer.Option(help="Name of a bundled model, or a .safetensors file.")] = "chains",
    count: Annotated[int, typer.Option(help="Number of scaffolds; 100 for a submission.", min=1)] = 8,
    steps: Annotated[int, typer.Option(help="Network calls for each chain.", min=1)] = 20,
    seed: Annotated[int, typer.Option(help="Seed of layouts and chains.", min=0)] = 0,
    guide: Annotated[bool, typer.Option(help="Guide the CA towards the motif; the weights are reported.")] = True,
    particles: Annotated[
        bool, typer.Option("--particles", help="Resample by the weights: right in the limit, fewer distinct chains.")
    ] = False,
    sd: Annotated[
        float | None,
        typer.Option(help="Spread of motif CA that the guidance aims at, Å; 0.5 where it is not given.", min=0.01),
    ] = None,
    compare: Annotated[
        int, typer.Option(help="Chains without the motif, for each layout, to measure its effect.", min=0)
    ] = 4,
    device: Device = "cpu",
    to_json: Json = None,
) -> None:
    """Scaffold a motif: every scaffold tells how exactly it holds it, and whether the motif acted on the model."""
    from ..run_folder import check_free
    from ..torsion.model import load
    from .scaffolds import ScaffoldSettings

    _check_design(reference, contigs, hidden, length)
    check_free(out)
    settings = ScaffoldSettings(steps=steps, twist=_twist(guide, particles, sd, count), compare=compare)
    loaded = load(model, device=device)
    if reference.is_dir():
        facts = _bench(loaded, reference, out, count, seed, settings)
        lines = [f"{name}: {_line(one)}" for name, one in facts["problems"].items()]
    else:
        design, chains = _design(reference, contigs, hidden, length)
        done = _run(loaded, design, chains, count, seed, settings)
        facts = _write(out, done)
        lines = [_line(facts)]
    _finish(out, facts, to_json, lines)


def _check_design(reference: Path, contigs: str, hidden: str, length: str) -> None:
    """Refuse options of contigs where there are none, and contigs where the problems bring theirs."""
    if contigs and reference.is_dir():
        raise ConfigError("--contigs came with a folder of problems; give a structure file with them")
    given = [name for name, text in {"--hidden": hidden, "--length": length}.items() if text]
    if given and not contigs:
        raise ConfigError(f"{' and '.join(given)} came without --contigs; a motif file says both itself, leave it out")


def _twist(guide: bool, particles: bool, sd: float | None, count: int) -> TwistSettings | None:
    """Settings of the guidance; None without."""
    from .twisted import TwistSettings

    given = [name for name, came in {"--particles": particles, "--sd": sd is not None}.items() if came]
    if given and not guide:
        raise ConfigError(f"--no-guide came with {' and '.join(given)}, which is for guided chains; leave one of them")
    if particles and count < 2:
        raise ConfigError("--particles came with --count 1; resampling needs two chains at least")
    return TwistSettings(sd=0.5 if sd is None else sd, threshold=0.5 if particles else 0.0) if guide else None


def _design(reference: Path, contigs: str, hidden: str, length: str) -> tuple[Design, Chains]:
    """Design and structure of a file."""
    from ..contigs import parse_contigs, read_motif_pdb
    from ..structures import PERMISSIVE, read

    if contigs:
        return parse_contigs(contigs, hidden, length), read(reference, PERMISSIVE).chains
    if reference.suffix.lower() not in (".pdb", ".ent"):
        raise ConfigError(f"{reference} came without --contigs; write them, or give a MotifBench motif file")
    return read_motif_pdb(reference).design, read(reference).chains


def _run(loaded: Any, design: Design, chains: Chains, count: int, seed: int, settings: ScaffoldSettings) -> Scaffolds:
    from .scaffolds import scaffold

    return scaffold(loaded, design, chains, count, seed=seed, settings=settings)


def _write(out: Path, done: Scaffolds) -> dict[str, Any]:
    """Write scaffolds with their numbering."""
    from ..sample_command import write_chains

    source = {"seed": done.facts["seed"], "model": done.facts["model"]}
    written = write_chains(out, done.chains, source, made_by="scidiff proteins motif")
    tables = [{f"A{n}": f"{c}{o}" for (_, n), (c, o) in layout.table.items()} for layout in done.layouts]
    return {**done.as_json(), **written, "numbers": tables}


def _bench(loaded: Any, folder: Path, out: Path, count: int, seed: int, settings: ScaffoldSettings) -> dict[str, Any]:
    """All problems of a folder, in the layout of a submission."""
    from .motifbench import check_layout, problems, write_submission

    found: dict[str, Any] = {}
    for problem in problems(folder):
        try:
            done = _run(loaded, problem.problem.design, problem.motif, count, seed, settings)
        except ConfigError as error:
            found[problem.name] = {"error": str(error)}
            continue
        target = write_submission(out, problem, done.chains, done.layouts)
        found[problem.name] = {**done.as_json(), "layout_faults": check_layout(target, problem, count)}
    return {"problems": found, "seed": seed, "count": count, "designability": "not measured; needs a refolder"}


def _line(facts: dict[str, Any]) -> str:
    """One design as one line."""
    if "error" in facts:
        return facts["error"]
    held, both = facts["motif_held"], facts["motif_held_and_gates"]
    text = f"{facts['count']} scaffolds: motif within 0.2 Å {held['value']:.0%} (largest RMSD "
    text += f"{max(facts['motif_rmsd']):.1e} Å), and through all gates {both['value']:.0%} "
    text += f"[{both['interval'][0]:.0%}, {both['interval'][1]:.0%}]"
    if "effect" in facts:
        acted = "acted" if facts["effect"]["acted"] else "not shown to act"
        text += f"; motif {acted}: nearer than without it in {facts['effect']['area']:.0%} of pairs"
    if "particles" in facts:
        text += f"; least effective size {min(one['least_ess'] for one in facts['particles']):.1f}"
    return text


def _finish(out: Path, facts: dict[str, Any], to_json: Path | None, lines: list[str]) -> None:
    from ..run_folder import write_report

    write_report(out, facts)
    tell(facts, to_json, lines)
