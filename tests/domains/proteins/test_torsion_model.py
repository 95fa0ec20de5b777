from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scidiff.domains.proteins.ideal_chains import HELIX_TORSIONS, STRAND_TORSIONS, from_degrees
from scidiff.domains.proteins.structures import read
from scidiff.domains.proteins.torsion.fit import Fit
from scidiff.domains.proteins.torsion.model import load
from scidiff.domains.proteins.torsion.motif import Motif
from scidiff.domains.proteins.torsion.process import chain_process
from scidiff.domains.proteins.torsion.task import fixed_torsions
from scidiff.domains.proteins.torsions import measure
from scidiff.domains.proteins.validation import validate

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, UnknownNameError
from scidiff.process.base import Kind
from scidiff.random import Noise
from scidiff.sample.continuous.retracted import Retracted
from scidiff.sample.factor import FactorRule
from scidiff.sample.grids import Grid, uniform_grid
from scidiff.sample.loop import run
from scidiff.sample.samples import Status

from .torsion_cases import untrained


def short(steps: int = 8) -> Fit:
    fit = Fit()
    return replace(
        fit,
        rounds=3,
        gathering=replace(fit.gathering, steps=steps),
        closing=replace(fit.closing, steps=steps),
        parting=replace(fit.parting, steps=60),
    )


def unit():
    return from_degrees([HELIX_TORSIONS] * 10 + [(-60.0, 120.0), (80.0, 0.0)] + [STRAND_TORSIONS] * 12)


def test_an_untrained_network_gives_valid_chains():
    samples = untrained().sample(2, 22, steps=2, seed=0)
    assert samples.status == [Status.OK] * 2
    report = validate(samples.chains)
    assert bool(report.valid.all())
    assert samples.calls.tolist() == [2] * 2
    assert set(samples.records) == {"ca_gap", "moved", "asked", "formed", "raw_valid"}
    rules = validate(samples.raw).rules
    for name in ("bonds", "angles", "omega", "chirality"):
        assert bool(rules[name].all()), name


def test_a_sample_does_not_depend_on_its_batch():
    model = untrained()
    whole = model.sample(3, 24, steps=2, seed=1, fit=short(5), relax=False)
    parts = model.sample(3, 24, steps=2, seed=1, batch_size=1, fit=short(5), relax=False)
    last = model.sample(1, 24, steps=2, seed=1, first=2, fit=short(5), relax=False)
    # noise and plan are equal bit for bit; float32 networks differ by round-off, which thirty solves amplify
    assert whole.plans == parts.plans
    assert last.plans == whole.plans[2:]
    assert torch.allclose(whole.chains.xyz, parts.chains.xyz, atol=1e-2)
    assert torch.allclose(whole.chains.xyz[2:], last.chains.xyz, atol=1e-2)


def test_lengths_may_differ_and_keep_their_order():
    samples = untrained().sample(3, lengths=[26, 22, 26], steps=1, seed=0, fit=short(5), relax=False)
    assert samples.chains.lengths.tolist() == [26, 22, 26]
    assert samples.index.tolist() == [0, 1, 2]


def test_a_plan_may_be_given_or_left_out():
    model = untrained()
    plan = "--HHHHHHHHHH----HHHHHHHH"
    assert model.sample(2, steps=1, secondary=plan, fit=short(5), relax=False).plans == [plan] * 2
    assert len(model.sample(1, 24, steps=1, secondary="", fit=short(5), relax=False).plans[0].split()[0]) == 24


def test_torsions_of_a_motif_are_kept_exactly():
    chain = unit()
    kept = torch.zeros(24, dtype=torch.bool)
    kept[3:9] = True
    motif = Motif.of_chain(chain, kept)
    samples = untrained().sample(2, motif=motif, steps=2, fit=short(6))
    want = measure(chain.xyz.double(), chain.mask)
    for found in (samples.chains, samples.raw):
        got = measure(found.xyz, found.mask)
        fixed = fixed_torsions(motif.group[None])[0]
        off = torch.remainder(got.torsions[:, :, :2] - want.torsions[:, :, :2] + torch.pi, 2 * torch.pi) - torch.pi
        # built and measured again in float64
        assert float(off[:, fixed].abs().max()) < 1e-6
        assert float((got.torsions[:, 3:8, 2].cos() - want.torsions[:, 3:8, 2].cos()).abs().max()) < 1e-6


def test_freezing_keeps_residues_of_the_start():
    chain = unit()
    freeze = torch.zeros(24, dtype=torch.bool)
    freeze[12:20] = True
    samples = untrained().sample(1, start=chain, freeze=freeze, level=0.3, steps=2, fit=short(4))
    got, want = measure(samples.chains.xyz, samples.chains.mask), measure(chain.xyz.double(), chain.mask)
    assert torch.allclose(got.torsions[0, 13:19, :2], want.torsions[0, 13:19, :2], atol=1e-6)
    assert float((got.torsions[0, :10, :2] - want.torsions[0, :10, :2]).abs().max()) > 1e-3


def test_a_denoiser_that_knows_the_chain_leads_to_it_in_any_number_of_steps():
    chain = unit()
    angles = measure(chain.xyz.double(), chain.mask).torsions[..., :2].unsqueeze(-1)
    ca = chain.ca.double() / 10
    datum = {"torsion": angles, "ca": ca - ca.mean(1, keepdim=True)}
    process = chain_process()

    def known(x, t, condition):
        return {name: process.factors[name].space.log(x[name], datum[name].expand_as(x[name])) for name in x}

    for steps in (1, 3, 8):
        grid = uniform_grid(steps)
        done = run(
            Denoiser(known, {"torsion": Kind.TANGENT, "ca": Kind.TANGENT}),
            process,
            FactorRule({"torsion": Retracted(2), "ca": Retracted(2)}),
            Grid({"torsion": grid, "ca": grid}),
            noise=Noise.range(0, 3),
            shape={"torsion": (24, 2, 1), "ca": (24, 3)},
        )
        assert done.calls.tolist() == [steps] * 3
        assert float((done.x["ca"] - datum["ca"]).abs().max()) < 1e-12
        assert float((done.x["torsion"] - datum["torsion"]).sin().abs().max()) < 1e-12


def test_samples_are_written_and_read_back(tmp_path):
    samples = untrained().sample(2, 24, steps=1, fit=short(20))
    path = samples.save(tmp_path / "chains.cif")
    back = read(path).chains
    assert len(back) == int(samples.ok.sum())
    # mmCIF has three decimals
    assert float((back.xyz - samples.take(samples.ok).chains.xyz).abs().max()) < 1e-3


@pytest.mark.parametrize(
    "wrong",
    [
        {"length": 5},
        {"length": 400},
        {"length": 30, "secondary": "HHHHHHHHHHHHHHHHHHHHHHHH"},
        {"length": 30, "lengths": [30, 31]},
        {"length": 30, "level": 0.0},
        {"length": 30, "temperature": 0.0},
        {"length": 30, "steps": 0},
    ],
    ids=lambda wrong: "-".join(wrong),
)
def test_what_does_not_fit_is_refused(wrong):
    with pytest.raises(ConfigError):
        untrained().sample(2, **wrong)


def test_an_unknown_name_is_told():
    with pytest.raises(UnknownNameError):
        load("nowhere")


def test_seeds_name_samples():
    model = untrained()
    one, two, other = (model.sample(1, 24, steps=1, seed=seed, fit=short(3), relax=False) for seed in (4, 4, 5))
    assert torch.equal(one.chains.xyz, two.chains.xyz)
    assert not np.allclose(one.chains.xyz.numpy(), other.chains.xyz.numpy(), atol=0.1)
