"""The experiments of ``benchmarks/mesh_experiments.py`` in small: circulation, divergence, energy, heat steps."""

from __future__ import annotations

import functools
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
if not (FOLDER / "mesh_experiments.py").is_file():
    pytest.skip("benchmarks/ is not part of this copy", allow_module_level=True)
sys.path.insert(0, str(FOLDER))

import mesh_experiments as experiments  # noqa: E402
import mesh_heat as heat  # noqa: E402


@functools.cache
def flows() -> experiments.Flows:
    return experiments.Flows.on(2, 12)


@functools.cache
def drawn(stiffness: float) -> torch.Tensor:
    return flows().sample(2000, 80, seed=3, stiffness=stiffness)


@pytest.mark.parametrize("stiffness", [0.0, 0.01])
@pytest.mark.parametrize("part", ["harmonic", "loop"])
def test_the_circulation_has_its_law(part, stiffness):
    """Mean and variance of 2000 samples within four standard errors, and the whole law by Kolmogorov and Smirnov.

    The bias of 80 steps is below a tenth of a standard error: the covariance errs by less than 1e-3 (next test).
    """
    functional = flows().harmonic_loop() if part == "harmonic" else flows().loop
    mean, std = flows().law(functional)
    z_mean, z_variance, p_value = experiments.law_scores((drawn(stiffness) @ functional).numpy(), mean, std)
    assert abs(z_mean) < 4 and abs(z_variance) < 4 and p_value > 1e-4


def test_the_covariance_converges():
    """Twice the steps divide the error of a method of order two by four; by three at least before the limit."""
    errors = [flows().covariance_error(steps, stiffness=0.01) for steps in (20, 40, 80)]
    assert errors[2] < 1e-3 and errors[0] > 3 * errors[1] > 9 * errors[2]


def test_the_law_of_the_data_is_as_declared():
    """The harmonic circulation is ``N(1, 0.5^2)``, and the whole covariance has no gradients in it."""
    mean, std = flows().law(flows().harmonic_loop())
    assert mean == pytest.approx(1.0, rel=1e-10) and std == pytest.approx(0.5, rel=1e-10)
    columns = flows().space.values(flows().covariance)
    gradient = flows().space.values(torch.randn(5, flows().space.modes, generator=torch.Generator().manual_seed(0)))
    assert flows().divergence(columns) < 1e-12 < 1e-2 < flows().divergence(gradient)
    # the loop sees the same circulation of the harmonic field as its own functional does
    harmonic = torch.from_numpy(flows().space.spectrum.harmonic[:, 0].copy())
    assert float(harmonic @ flows().loop) == pytest.approx(float(harmonic @ flows().harmonic_loop()), rel=1e-10)


def test_samples_have_no_divergence():
    """Samples are combinations of predictions, and those lie in the space without gradients, to round-off."""
    prior = flows().process(0.01).prior(experiments.Noise.range(0, 50), flows().space.shape)
    assert flows().divergence(drawn(0.01)) < 1e-12 * flows().divergence(prior)


def test_rows_and_pictures_are_written(tmp_path):
    """Mean energies within four standard errors, and pictures that a reader can open."""
    rows = experiments.field_rows(tmp_path, fast=True)
    assert [row["passed"] for row in rows] == [True, True]
    assert json.loads(json.dumps(rows))[0]["label"] == "measured"
    for name in ("mesh-torus-field.png", "mesh-bumpy-sphere-field.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_networks_that_are_compared_have_equal_size():
    size = heat.parameters(heat.Transformed(24))
    for build in (heat.Plain, heat.linear):
        assert abs(heat.parameters(build(heat.closest(build, size))) / size - 1) < 0.1


def test_a_heat_step_is_that_of_the_sphere():
    """Spherical harmonics of degree 1 decay by ``exp(-2 tau)``; 162 vertices know the eigenvalue to one per cent."""
    sphere = heat.Heated.of(heat.icosphere(2))
    z = torch.from_numpy(sphere.complex.vertices[:, 2].copy()).float().unsqueeze(0)
    decayed = z @ sphere.step.T
    rate = -math.log(float((decayed * z).sum() / z.square().sum())) / heat.TAU
    assert rate == pytest.approx(2.0, rel=0.03)
    ones = torch.ones(1, 162)
    assert float((ones @ sphere.step.T - ones).abs().max()) < 1e-5


def test_learned_laplacians_learn_a_heat_step():
    """Sixty steps on four surfaces at least halve the error of the untrained map on surfaces that were not seen."""
    data, unseen = heat.surfaces(4, 1, 5), heat.surfaces(3, 1, 6)
    build = functools.partial(heat.linear, 16)
    (raw, _), (net, _) = (heat.fit(build, data, steps=steps, seed=0) for steps in (1, 60))
    before, after = (heat.errors(lambda f, x, net=net: net(f, x.mesh), unseen, 16) for net in (raw, net))
    assert np.all(after < before / 2)
    # a constant comes through trained weights bit by bit
    ones = torch.ones(1, unseen[0].mesh.sizes[0])
    assert torch.equal(net(ones, unseen[0].mesh), ones)
