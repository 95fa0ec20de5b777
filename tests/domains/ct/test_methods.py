"""Methods that optimise, classical methods in the same call, names and labels."""

from __future__ import annotations

import json
import re

import pytest
import torch
from scidiff.domains.ct.classical import METHODS as CLASSICAL
from scidiff.domains.ct.cli import app
from scidiff.domains.ct.methods import METHODS, reconstruct
from scidiff.domains.ct.methods.problem import Problem
from scidiff.domains.ct.methods.run import find_prior
from scidiff.domains.ct.priors.learned import LearnedPrior, bundled
from scidiff.domains.ct.readers import read_scan, read_volume, write_scan
from typer.testing import CliRunner

from scidiff.errors import ConfigError
from scidiff.random import Noise
from scidiff.sample.loop import run
from scidiff.sample.state import RunState

from .scan_cases import GRID, PRIOR, quiet, scan_and_truth

SCAN, _ = scan_and_truth(sd=0.05)
PROBLEM = Problem(SCAN, GRID, PRIOR)


def test_red_diff_follows_the_gradient_of_the_posterior_at_a_noise_level():
    """Closed form for a Gaussian: ``A^T W (A mu - y) + (C + sigma^2)^-1 (mu - m)``, nothing scaled.

    Noise of the network's part has a deviation of at most ``1 / sigma`` in a pixel: five of them over 400 samples, and
    the round-off of a float32 product next to the largest entry.
    """
    sigma, count = 0.3, 400
    mu = PRIOR.mean(GRID) + Noise.range(9, 1).normal(GRID.shape, step=0, stream="test")[0]
    recipe = METHODS["red-diff"].build(PROBLEM, 1, top=sigma, warm=mu)
    noise = Noise.range(0, count)
    state = RunState.at(recipe.begin(PROBLEM, noise), float(PRIOR.time(sigma)), noise)
    denoiser = PRIOR.denoiser(GRID)
    state = run(denoiser, PRIOR.process, recipe.rule, recipe.rule.plan, state=state, transforms=recipe.transforms)
    found = state.records["ct/adam/1"].mean(0) / (1 - 0.9)
    data = -PROBLEM.pull(PROBLEM.residual(mu[None]))[0]
    prior = PRIOR.covariance(GRID).function(lambda values: 1 / (values + sigma**2), (mu - PRIOR.mean(GRID))[None])[0]
    allowed = 5 / (sigma * count**0.5) + 1e-5 * float(data.abs().max())
    assert float((found - data - prior).abs().max()) < allowed
    assert float(prior.abs().max()) > 10 * allowed


def test_hybridreg_is_red_diff_with_another_noise():
    red = reconstruct(SCAN, PRIOR, "red-diff", grid=GRID, count=1, steps=30).mean
    same = reconstruct(SCAN, PRIOR, "hybridreg", grid=GRID, count=1, steps=30, beta=1.0).mean
    other = reconstruct(SCAN, PRIOR, "hybridreg", grid=GRID, count=1, steps=30).mean
    assert torch.equal(red, same)
    assert float((red - other).abs().max()) > 0.01 * PRIOR.unit
    with pytest.raises(ConfigError, match="beta is 2"):
        reconstruct(SCAN, PRIOR, "hybridreg", grid=GRID, count=1, steps=5, beta=2.0)


@pytest.mark.parametrize("name", ["fbp", "cgls"])
def test_a_classical_image_is_the_same_in_the_one_call(name):
    """Images pass through the unit of a prior and back: round-off; and the data are multiplied in float32."""
    alone, found = CLASSICAL[name](SCAN, GRID), reconstruct(SCAN, method=name, grid=GRID)
    assert torch.allclose(found.mean, alone.image, rtol=1e-12, atol=0)
    assert float(found.chi2[0]) == pytest.approx(alone.chi2, rel=1e-4)
    assert found.method == alone.method


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--method", "fbp", "--prior", "gaussian"], "which uses none"),
        (["--method", "cgls", "--count", "8"], "--count 8 came with method 'cgls'"),
        (["--method", "cgls", "--steps", "20"], "--steps 20 came with method 'cgls'"),
        (["--method", "cgls", "--seed", "0"], "--seed 0 came with method 'cgls'"),
        (["--method", "fbp", "--device", "cuda"], "no network"),
        (["--prior", "gaussian", "--device", "cuda"], "no network"),
    ],
    ids=["prior-of-none", "count", "steps", "seed", "device-of-none", "device-of-a-formula"],
)
def test_what_a_method_or_a_prior_has_no_use_for_is_refused(tmp_path, more, says):
    path = tmp_path / "s.npz"
    write_scan(path, SCAN)
    done = CliRunner().invoke(app, ["reconstruct", str(path), "--out", str(tmp_path / "x.npz"), "--size", "16", *more])
    assert isinstance(done.exception, ConfigError)
    assert says in str(done.exception)
    assert not (tmp_path / "x.npz").exists()


@pytest.mark.parametrize("name", ["x.npz", "x.png"])
def test_the_command_holds_views_out_of_classical_methods(tmp_path, name):
    """The numbers of the one call, and its image to single precision: 2^-24 of the largest pixel."""
    path, out = tmp_path / "s.npz", tmp_path / name
    write_scan(path, SCAN)
    options = [*"--method cgls --size 16 --extent 400 --holdout 3 --json -".split(), "--out", str(out)]
    done = CliRunner().invoke(app, ["reconstruct", str(path), *options])
    assert done.exit_code == 0, (done.output, done.exception)
    facts, scan = json.loads(done.stdout), quiet(read_scan, path)
    found = quiet(reconstruct, scan, method="cgls", grid=GRID, holdout=3)
    assert (facts["held_out_chi2"], facts["chi2"]) == (found.held_out, float(found.chi2[0]))
    assert facts["method"] == "CGLS" and facts["converged"] in (True, False)
    if name == "x.npz":
        image = read_volume(out).values.double().reshape(GRID.shape)
        assert float((image - found.mean).abs().max()) <= 2**-23 * float(found.mean.abs().max())
        assert float((image - CLASSICAL["cgls"](scan, GRID).image).abs().max()) > 1e-3 * float(image.abs().max())


@pytest.mark.skipif(not bundled(), reason="no prior is bundled with this checkout")
def test_a_prior_is_loaded_where_it_is_asked_for():
    for device in ("cpu", "meta"):
        law = find_prior("ct", device=device)
        assert isinstance(law, LearnedPrior)
        assert {parameter.device.type for parameter in law.network.parameters()} == {device}


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_says_what_it_promises(name):
    """A label, a source, and a limit in which it is exact wherever it claims consistency."""
    method = METHODS[name]
    assert re.fullmatch(r"exact|biased|consistent\(\d+(\.\d+)?\)", method.label)
    assert method.citation
    assert method.exact_for or method.label == "biased"
    assert len({other.name for other in METHODS.values()}) == len(METHODS)
