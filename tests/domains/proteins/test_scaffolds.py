"""Scaffolds around motifs, twisted particles on a Gaussian law, and MotifBench on files."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from scidiff.domains.proteins.chains import Chains
from scidiff.domains.proteins.contigs import parse_contigs
from scidiff.domains.proteins.design import layouts
from scidiff.domains.proteins.relaxation import Relaxation
from scidiff.domains.proteins.scaffolding import ScaffoldSettings, TwistSettings, motifbench, scaffold
from scidiff.domains.proteins.scaffolding.drawer import polymer_root
from scidiff.domains.proteins.scaffolding.motif_problems import held_out_problems
from scidiff.domains.proteins.scaffolding.scaffolds import reachable
from scidiff.domains.proteins.scaffolding.twisted import (
    LoggedParticles,
    MotifPotential,
    MotifTwist,
    PathMoves,
    PolymerPath,
)
from scidiff.domains.proteins.torsion.process import chain_process
from scidiff.domains.proteins.writers import write

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, DataError
from scidiff.process.base import Kind, ProductProcess
from scidiff.random import Noise
from scidiff.sample.factor import FactorRule
from scidiff.sample.grids import Grid, uniform_grid
from scidiff.sample.loop import run

from .protein_cases import needs_chains
from .test_closure import native
from .torsion_cases import untrained

FAST = ScaffoldSettings(steps=2, per_layout=4, placing=Relaxation(steps=5), compare=2)


def test_scaffolds_hold_their_motif_exactly():
    reference = native()
    design = parse_contigs("3-6/A5-10/4-7/A16-21/3-6", length="28")
    done = scaffold(untrained(), design, reference, 4, settings=FAST)
    closed = done.error <= 1e-3
    assert bool(closed.any())
    assert float(done.rmsd[closed].max()) < 1e-3
    assert done.effect is not None and done.effect.count == (4, 2)
    layout = done.layouts[0]
    for k in range(28):
        if layout.fixed[k]:
            assert int(done.chains.sequence[0, k]) == int(reference.sequence[tuple(layout.source[k])])
    facts = done.as_json()
    assert len(facts["motif_rmsd"]) == 4 and facts["seed"] == 0


def test_particles_tell_their_effective_size():
    design = parse_contigs("4-6/A5-10/4-7/A16-21/4-6", length="28")
    done = scaffold(untrained(), design, native(), 4, settings=replace(FAST, twist=TwistSettings(sd=2.0), compare=0))
    (records,) = done.particles
    # one size before each of the two steps, and that of the last weights
    assert len(records.ess) == 3 and all(1 - 1e-9 <= size <= 4 + 1e-9 for size in records.ess)
    assert 1 <= records.ancestors <= 4


def test_layouts_that_cannot_be_closed_are_refused():
    reference = native()
    apart = float((reference.ca[0, 9] - reference.ca[0, 15]).norm())
    design = parse_contigs("5/A5-10/1/A16-21/5")
    assert apart > 2 * 3.4
    assert not reachable(layouts(design, reference, 1, 0)[0], reference)
    with pytest.raises(ConfigError, match="can be closed"):
        scaffold(untrained(), design, reference, 1, settings=FAST)
    with pytest.raises(ConfigError, match="has 2 chains"):
        scaffold(untrained(), parse_contigs("5/A5-10/5/0 10"), reference, 1, settings=FAST)
    with pytest.raises(ConfigError, match="0 fixed segments"):
        scaffold(untrained(), parse_contigs("30"), reference, 1, settings=FAST)


@pytest.mark.parametrize("guide", [True, False], ids=["twisted", "weighed only"])
def test_particles_are_calibrated_on_a_gaussian_law(guide):
    """Data ``N(0, K)``, three of six positions seen with noise: evidence and posterior are known."""
    length, size, groups, sd = 6, 16, 80, 0.15
    root = polymer_root(length)
    covariance, process = root @ root.T, ProductProcess({"ca": chain_process().factors["ca"]})

    def exact(x, t, condition):
        k = t["ca"].double()
        return {"ca": ((1 - k) / ((1 - k) ** 2 + k**2) - 1) * x["ca"]}

    target = root @ Noise.range(5, 1).normal((length, 3), step=0, stream="test/target")[0]
    potential = MotifPotential(torch.tensor([0, 1, 1, 0, 0, 1]), target, sd, pose=True)
    seen = potential.places
    spread = covariance[seen][:, seen] + sd**2 * torch.eye(3, dtype=torch.float64)
    gain = covariance[:, seen] @ torch.linalg.inv(spread)
    mean, posterior = gain @ target[seen], covariance - gain @ covariance[seen]
    evidence = -0.5 * (target[seen] * torch.linalg.solve(spread, target[seen])).sum()
    evidence += -1.5 * torch.logdet(spread) + 9 * math.log(sd)

    path = PolymerPath.of(root, 0.9)
    rule, plan = FactorRule({"ca": path}), Grid({"ca": uniform_grid(40)})
    twist = MotifTwist(potential, path, guide)
    particles = LoggedParticles(twist, PathMoves(path, plan), size, 0.5)
    state = run(
        Denoiser(exact, {"ca": Kind.TANGENT}), process, rule, plan, noise=Noise.range(0, groups * size),
        shape={"ca": (length, 3)}, transforms=(twist, particles),
    )  # fmt: skip
    ratio = (particles.log_normaliser(state) - evidence).exp()
    # five standard errors, and 6 % for forty steps of first order
    assert abs(float(ratio.mean()) - 1) < 5 * float(ratio.std()) / math.sqrt(groups) + 0.06
    off = particles.pick(state).x["ca"] - mean
    error = math.sqrt(float(posterior.diagonal().max()) / groups)
    # the largest of 18 means: four standard errors, and 0.02 of discretisation
    assert float(off.mean(0).abs().max()) < 4 * error + 0.02
    found = torch.einsum("bic,bjc->ij", off, off) / (3 * groups)
    # entries of a covariance from 240 draws: sd at most sqrt(2/240) of the largest variance; five of them
    assert float((found - posterior).abs().max()) < 5 * math.sqrt(2 / 240) * float(posterior.diagonal().max())


def problem_folder(tmp_path):
    """A folder in the format of the benchmark, with one problem of two segments."""
    chain = native()
    one, two = chain.part(0, 4, 10), chain.part(0, 15, 21)
    motif = Chains.cat([one, two])
    numbers = torch.arange(1, 7).expand(2, 6)
    motif = Chains(motif.xyz, motif.mask, motif.sequence.fill_(0), ("a", "b"), ("A", "B"), numbers)
    folder = tmp_path / "bench"
    (folder / "motif_pdbs").mkdir(parents=True)
    path = write(folder / "motif_pdbs" / "01_1ABC.pdb", motif)
    remarks = [
        "REMARK 1 Reference PDB ID: 1ABC",
        "REMARK 2 Motif Segment Placement in Reference PDB: 4;A;5;B;7",
        "REMARK 3 Length for Designed Scaffolds: 28",
    ]
    path.write_text("\n".join(remarks) + "\n" + path.read_text())
    header = "problem,pdb_id,motif_residues,redesign_idcs,length,group\n"
    (folder / "test_cases.csv").write_text(header + "01,1ABC,A5-10;A16-21,,28,2\n")
    return folder, chain


def test_a_submission_has_the_layout_and_native_motifs_score_zero(tmp_path):
    folder, chain = problem_folder(tmp_path)
    (problem,) = motifbench.problems(folder)
    assert problem.name == "01_1ABC" and problem.problem.length == 28
    design = parse_contigs("4/A1-6/5/B1-6/7")
    layout = layouts(design, problem.motif, 1, 0)[0]
    assert motifbench.placement(layout, problem.motif) == "4/A/5/B/7"
    target = motifbench.write_submission(tmp_path / "out", problem, Chains.cat([chain, chain]), [layout, layout])
    assert motifbench.check_layout(target, problem, 2) == []
    # PDB has three decimals: 0.0005 Å of rounding in each coordinate
    assert max(motifbench.motif_scores(target, problem).values()) < 1e-3
    assert motifbench.check_layout(target, problem, 100) == ["2 scaffolds; expected 100"]
    (target / "01_1ABC_1.pdb").unlink()
    assert "01_1ABC_1.pdb" in motifbench.check_layout(target, problem)[0]
    (target / "scaffold_info.csv").write_text("sample_num,motif_placements\n0,4/A/12\n")
    faults = " ".join(motifbench.check_layout(target, problem))
    assert "every segment once" in faults and "placement 22" in faults
    with pytest.raises(DataError, match="test_cases"):
        motifbench.problems(tmp_path)


def test_problems_at_hand_are_read_and_native_motifs_fit(scidiff_data):
    folder = scidiff_data / "proteins" / "motifbench"
    if not folder.is_dir():
        pytest.skip("needs the MotifBench folder in SCIDIFF_DATA")
    found = motifbench.problems(folder)
    assert len(found) == 10
    for problem in found:
        layout = layouts(problem.problem.design, problem.motif, 1, 0)[0]
        assert len(layout) == problem.problem.length
        text = motifbench.placement(layout, problem.motif)
        assert sum(int(word) for word in text.split("/") if word.isdigit()) + int(layout.fixed.sum()) == len(layout)


def test_the_held_out_problems_are_well_formed():
    problems = held_out_problems()
    assert len(problems) == 24 and [len(p.segments) for p in problems] == [1] * 8 + [2] * 8 + [3] * 8
    assert all(p.length <= 80 and p.design.length == (p.length, p.length) for p in problems)
    assert len({p.chain for p in problems}) == 24


@needs_chains
def test_the_held_out_problems_speak_of_held_out_chains():
    from scidiff.domains.proteins.data import load

    chains = load("valid", progress=False)
    for problem in held_out_problems():
        reference = problem.reference(chains)
        assert int(reference.lengths) == problem.length
        # the native placement is one of the layouts, so every problem can be closed
        found = layouts(problem.design, reference, 5, 0)
        assert any(reachable(layout, reference) for layout in found)
