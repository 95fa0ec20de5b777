from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scidiff.domains.proteins.frames.process import atoms_of, frame_process, quaternions_of
from scidiff.domains.proteins.frames.rotations import SPREAD, RotationDiffusion, RotationFlow, read_law
from scidiff.domains.proteins.torsion.motif import Motif
from scidiff.domains.proteins.torsion.task import fixed_torsions
from scidiff.domains.proteins.torsions import measure
from scidiff.domains.proteins.validation import validate

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import CheckpointError, ConfigError
from scidiff.process.base import Kind
from scidiff.random import Noise
from scidiff.sample.continuous.retracted import Retracted
from scidiff.sample.factor import FactorRule
from scidiff.sample.grids import Grid, uniform_grid
from scidiff.sample.loop import run
from scidiff.sample.samples import Status
from scidiff.spaces.so3 import SO3, to_matrix

from .frame_cases import untrained
from .test_torsion_model import short, unit

LAWS = [RotationFlow(), RotationFlow(rate=0.0), RotationDiffusion(), RotationDiffusion(eta=1.0)]
NAMES = ["flow", "one-clock", "diffusion", "brownian"]


@pytest.mark.parametrize("law", LAWS[::2], ids=NAMES[::2])
def test_prior_has_uniform_rotations_and_chains_of_the_right_steps(law):
    x = frame_process(law).prior(Noise.range(0, 500), {"rotation": (40, 4), "ca": (40, 3)})
    matrices = to_matrix(x["rotation"])
    # Haar: every entry has mean 0 and variance 1/3; 20,000 independent frames, 5 standard errors
    error = 5 * (1 / 3 / 20000) ** 0.5
    assert float(matrices.mean((0, 1)).abs().max()) < error
    # entries of a Haar rotation squared: variance 1/5 - 1/9
    assert float((matrices.square().mean((0, 1)) - 1 / 3).abs().max()) < 5 * ((1 / 5 - 1 / 9) / 20000) ** 0.5
    steps = (x["ca"][:, 1:] - x["ca"][:, :-1]).square().sum(-1) * 100
    assert float(steps.mean()) == pytest.approx(3.8**2, abs=6 * float(steps.std()) / steps.numel() ** 0.5)
    angles = SO3().log(torch.tensor([1.0, 0, 0, 0], dtype=torch.float64), x["rotation"])
    # a coordinate of a rotation vector is at most pi: the mean of its square is good to pi^2 / 60,000^(1/2) per sd
    assert float(angles.square().mean()) == pytest.approx(SPREAD**2, abs=5 * torch.pi**2 / 2 / 60000**0.5)


def test_frames_give_atoms_and_atoms_give_frames():
    chain = unit()
    q = quaternions_of(chain.xyz, chain.mask)
    # unit() has ideal geometry, so that ideal places in frames are its atoms
    assert torch.allclose(atoms_of(q, chain.ca / 10), chain.xyz, atol=1e-9)


@pytest.mark.parametrize("law", LAWS, ids=NAMES)
def test_a_denoiser_that_knows_the_chain_leads_to_it_in_any_number_of_steps(law):
    chain, process = unit(), frame_process(law)
    datum = {"rotation": quaternions_of(chain.xyz.double(), chain.mask), "ca": chain.ca.double() / 10}
    datum["ca"] = datum["ca"] - datum["ca"].mean(1, keepdim=True)

    def known(x, t, condition):
        v = SO3().log(x["rotation"], datum["rotation"].expand_as(x["rotation"]))
        return {"rotation": law.predict(v, x["rotation"], t["rotation"]), "ca": datum["ca"] - x["ca"]}

    for steps in (1, 3, 8) if isinstance(law, RotationFlow) else (60,):
        grid = uniform_grid(steps)
        done = run(
            Denoiser(known, {"rotation": law.kind, "ca": Kind.TANGENT}),
            process,
            FactorRule({"rotation": law.rule, "ca": Retracted(2)}),
            Grid({"rotation": law.times(grid), "ca": grid}),
            noise=Noise.range(0, 2),
            shape={"rotation": (24, 4), "ca": (24, 3)},
        )
        off = SO3().dist(done.x["rotation"], datum["rotation"].expand_as(done.x["rotation"]))
        assert float((done.x["ca"] - datum["ca"]).abs().max()) < 1e-12
        # a geodesic is followed exactly; Brownian motion makes its last step at V = 6/60^2, where V S = (1 - V/12) log,
        # and log is at most 5 sqrt(V)
        last = 6 / 60**2
        assert float(off.max()) < (1e-7 if isinstance(law, RotationFlow) else 5 * last**1.5 / 12)


@pytest.mark.parametrize("law", [LAWS[0], LAWS[2]], ids=["flow", "diffusion"])
def test_an_untrained_network_gives_valid_chains(law):
    samples = untrained(law).sample(2, 22, steps=2, seed=0)
    assert samples.status == [Status.OK] * 2
    assert bool(validate(samples.chains).valid.all())
    assert samples.calls.tolist() == [2] * 2
    assert samples.provenance["rule"] == law.words
    rules = validate(samples.raw).rules
    for name in ("bonds", "angles", "omega", "chirality"):
        assert bool(rules[name].all()), name


def test_a_sample_does_not_depend_on_its_batch():
    model = untrained()
    whole = model.sample(3, 24, steps=2, seed=1, fit=short(5), relax=False)
    last = model.sample(1, 24, steps=2, seed=1, first=2, fit=short(5), relax=False)
    assert last.plans == whole.plans[2:]
    # noise and plan are equal bit for bit; float32 networks differ by round-off, which the solves amplify
    assert torch.allclose(whole.chains.xyz[2:], last.chains.xyz, atol=1e-2)


def test_a_motif_is_kept_and_a_chain_can_be_varied():
    chain = unit()
    kept = torch.zeros(24, dtype=torch.bool)
    kept[3:9] = True
    want, fixed = measure(chain.xyz.double(), chain.mask), fixed_torsions(kept.long()[None])[0]
    motif = untrained().sample(1, motif=Motif.of_chain(chain, kept), steps=1, fit=short(4))
    varied = untrained().sample(1, start=chain, freeze=kept, level=0.3, steps=1, fit=short(4))
    for samples in (motif, varied):
        got = measure(samples.chains.xyz, samples.chains.mask)
        off = torch.remainder(got.torsions[:, :, :2] - want.torsions[:, :, :2] + torch.pi, 2 * torch.pi) - torch.pi
        # built and measured again in float64
        assert float(off[:, fixed].abs().max()) < 1e-6


def test_the_clock_of_rotations_moves_them_first():
    grid = uniform_grid(10)
    times = RotationFlow(rate=10.0).times(grid)
    assert float(times[0]) == 1.0
    assert float(times[-1]) == 0.0
    assert bool((times[1:-1] < grid[1:-1]).all())
    model = untrained()
    one = model.sample(1, 24, steps=3, seed=0, fit=short(3), relax=False)
    two = replace(model, law=RotationFlow(rate=0.0)).sample(1, 24, steps=3, seed=0, fit=short(3), relax=False)
    assert float((one.chains.xyz - two.chains.xyz).abs().max()) > 0.1


def test_laws_are_written_and_read():
    for law in LAWS:
        assert read_law(law.to_json()) == law
    with pytest.raises(CheckpointError):
        read_law({"name": "nothing"})
    with pytest.raises(ConfigError):
        RotationFlow(rate=50.0)
