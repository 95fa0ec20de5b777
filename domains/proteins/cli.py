"""Command line of the domain: ``scidiff proteins sample | motif | train | validate | evaluate | repair | ...``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from scidiff.io.command import Json, tell

from .evaluate_command import evaluate
from .sample_command import sample
from .scaffolding.motif_command import motif
from .sequence.sequence_command import sequence
from .torsion.train_command import train

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Protein backbones: draw, scaffold, check, repair, assemble.")
for command in (sample, motif, train, evaluate, sequence):
    app.command()(command)

File = Annotated[Path, typer.Argument(help="Structure file: .cif, .bcif, .pdb.")]
Out = Annotated[Path, typer.Option(help="File to write: .cif, .bcif or .pdb.")]
Gaps = Annotated[bool, typer.Option("--split-gaps", help="Divide chains at gaps instead of refusing them.")]


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(help="Structure files: .cif, .bcif, .pdb.")],
    split_gaps: Gaps = False,
    together: Annotated[
        bool, typer.Option("--together", help="Count hydrogen bonds between the chains of a file too.")
    ] = False,
    novelty: Annotated[
        bool, typer.Option("--novelty", help="Add the nearest training chain (needs the chains).")
    ] = False,
    to_json: Json = None,
) -> int:
    """Check backbones beside real chains; exit code 1 if a local rule is broken."""
    import torch
    from torch.nn.functional import pad

    from .chains import Chains
    from .data import load, select
    from .validation import validate as check

    read = [_read(file, split_gaps) for file in files]
    chains = Chains.cat([structure.chains for structure in read])
    size = chains.xyz.shape[1]
    cb = torch.cat([pad(one.cb, (0, 0, 0, size - one.cb.shape[1]), value=torch.nan) for one in read])
    report = check(chains, library=select(load("train")) if novelty else None, cb=cb)
    notes = [str(note) for structure in read for note in structure.notes]
    rows = report.rows()
    lines = [_line(row) for row in rows] + [f"note: {note}" for note in notes]
    facts = {**report.as_json(), "gates_together": report.gates_together(), "chains": rows, "notes": notes}
    if together:
        whole = [_together(file, structure.chains) for file, structure in zip(files, read, strict=True)]
        facts["together"] = whole
        lines += [
            f"{w['file']}: helix {w['helix']:.0%}, strand {w['strand']:.0%} with bonds between chains" for w in whole
        ]
    tell(facts, to_json, lines)
    return 0 if bool(report.valid.all()) else 1


def _together(file: Path, chains: Any) -> dict[str, Any]:
    """Secondary structure of the chains of one file with bonds between them, and their clashes."""
    from .docking import interchain_clashes
    from .secondary import HELIX, STRAND, assign_together

    states, of = assign_together(chains), chains.mask
    share = {n: float(((states == k) & of).sum() / of.sum()) for n, k in (("helix", HELIX), ("strand", STRAND))}
    return {"file": file.name, **share, "clashes_between_chains": interchain_clashes(chains)}


@app.command()
def repair(
    file: File,
    out: Out,
    relax: Annotated[
        bool, typer.Option("--relax", help="Remove clashes and mend torsions too, instead of geometry alone.")
    ] = False,
    split_gaps: Gaps = False,
    to_json: Json = None,
) -> None:
    """Project chains onto exact local geometry; raw and repaired are both reported."""
    from .repair import refit
    from .repair import relax as relax_chains
    from .writers import write

    chains = _read(file, split_gaps).chains
    done = relax_chains(chains) if relax else refit(chains)
    write(out, done.chains, {"made_by": "scidiff proteins repair", "source": file.name})
    facts = {"raw": done.raw_report.as_json(), "repaired": done.report.as_json(), "moved": done.moved.tolist()}
    lines = [
        f"{name}: CA moved {moved:.2f} Å, valid before {bool(before)}, after {bool(after)}"
        for name, moved, before, after in zip(
            done.raw.names, done.moved.tolist(), done.raw_report.valid, done.report.valid, strict=True
        )
    ]
    tell(facts, to_json, lines)


@app.command()
def assemble(
    file: File,
    out: Out,
    symmetry: Annotated[str, typer.Option(help="C2, D3, T, O, I or screw(rise,angle,count).")],
    to_json: Json = None,
) -> None:
    """Repeat the chains of a file by a symmetry about the origin and the z axis."""
    from .symmetry import parse_symmetry
    from .writers import write

    unit, group = _read(file, False).chains, parse_symmetry(symmetry)
    whole = group.assemble(unit)
    write(out, whole, {"made_by": "scidiff proteins assemble", "source": file.name, "symmetry": group.name})
    error = float(group.error(whole.xyz.unflatten(0, (len(group), len(unit)))))
    facts = {"out": str(out), "count": len(whole), "symmetry": group.name, "error": error}
    tell(facts, to_json, [f"{len(whole)} chains in {group.name} to {out}, symmetric to {error:.1e} Å"])


@app.command()
def design(
    contigs: Annotated[str, typer.Argument(help="RFdiffusion contigs, e.g. 5-15/A10-25/30-40.")],
    reference: Annotated[Path, typer.Option(help="Structure that the fixed segments speak of.")],
    hidden: Annotated[str, typer.Option(help="Kept residues whose type may change, e.g. A12/A14-16.")] = "",
    length: Annotated[str, typer.Option(help="Total length, 60 or 60-80.")] = "",
    count: Annotated[int, typer.Option(help="Number of layouts.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the free lengths.", min=0)] = 0,
    to_json: Json = None,
) -> None:
    """Check a design against its reference and draw its lengths."""
    from .contigs import parse_contigs
    from .design import layouts

    found = layouts(parse_contigs(contigs, hidden, length), _read(reference, True).chains, count, seed)
    drawn = []
    for layout in found:
        pairs = [f"{'ABCDEFGHIJ'[c % 10]}{n}={label}{old}" for (c, n), (label, old) in layout.table.items()]
        drawn.append({"length": len(layout), "kept": int(layout.fixed.sum()), "numbers": pairs})
    tell(
        {"layouts": drawn, "seed": seed}, to_json, [f"{d['length']} residues: {' '.join(d['numbers'])}" for d in drawn]
    )


@app.command()
def draw(
    file: File, out: Annotated[Path, typer.Option(help="Picture to write: .png.")], split_gaps: Gaps = False
) -> None:
    """Draw the chains of a file as ribbons."""
    from scidiff.io.files import atomic_write

    from .pictures import ribbon_png

    picture = ribbon_png(_read(file, split_gaps).chains)
    with atomic_write(out, "wb") as target:
        target.write(picture)


def _read(file: Path, split_gaps: bool) -> Any:
    from .structures import Reading, read

    return read(file, Reading(split_gaps=split_gaps))


def _line(row: dict[str, Any]) -> str:
    """One chain as one line."""
    n, q = row["numbers"], row["quantiles"]
    place = "-" if q["rg_ratio"] is None else f"{q['rg_ratio']:.0%}"
    gates = "passed" if row["passed"] else "failed: " + ", ".join(row["failed_gates"])
    verdict = "valid" if row["valid"] else "broken: " + ", ".join(row["broken"])
    nearest = f", nearest {row['nearest']} TM {n['nearest_tm']:.2f}" if "nearest" in row else ""
    return (
        f"{row['name']}: {verdict}; gates {gates}; "
        f"favoured {n['favoured']:.1%}, helix {n['helix']:.0%}, strand {n['strand']:.0%}, Rg ratio {n['rg_ratio']:.2f} "
        f"(above {place} of real chains){nearest}"
    )
