"""Parallel in time: the limit is the step-by-step run, depth and work are counted, clean sites stay."""

from __future__ import annotations

import pytest
import torch

from scidiff.denoise import Denoiser
from scidiff.errors import ConfigError
from scidiff.guidance import MMPS, ClassifierFree, GaussianLikelihood, Tilt
from scidiff.process import GaussianProcess, Kind
from scidiff.random import Noise
from scidiff.sample import RunState, TableRule, ancestral, ddim, dpmpp_2m, log_snr_grid, run
from scidiff.sample.continuous.parallel import parareal, picard
from scidiff.sample.discrete.sharpen import Temperature
from scidiff.spaces import Euclidean
from scidiff.spaces.linear import Selection
from scidiff.testing_targets.gaussian import VE, target_a

PROCESS = GaussianProcess(Euclidean((4,)), VE)
EXACT = target_a()


def setting(solver, steps, count=6):
    rule = TableRule(solver(VE, log_snr_grid(VE, steps, floor=0.05)))
    start = RunState.start(PROCESS, Noise.range(2, count), (4,))
    return rule, start, run(EXACT.denoiser, PROCESS, rule, rule.plan, state=start)


@pytest.mark.parametrize("solver", [ddim, dpmpp_2m, ancestral], ids=["ddim", "2m", "ancestral"])
@pytest.mark.parametrize("window", [None, 7])
def test_picard_ends_at_the_step_by_step_run(solver, window):
    rule, start, serial = setting(solver, 24)
    exact = picard(EXACT.denoiser, PROCESS, rule, start, tolerance=0.0, window=window)
    # the same sums of the same terms; batches of another size differ by round-off
    assert torch.allclose(exact.state.x, serial.x, atol=1e-9)
    assert exact.depth <= 24 and torch.equal(exact.state.t, serial.t) and exact.state.i == serial.i
    rough = picard(EXACT.denoiser, PROCESS, rule, start, tolerance=1e-3, window=window)
    assert rough.depth < exact.depth and float((rough.state.x - serial.x).abs().max()) < 0.05
    assert rough.changes[-1] <= 1e-3


def test_work_and_depth_are_those_of_the_network():
    sizes = []

    def counting(x, t, condition):
        sizes.append(len(x))
        return EXACT(x, t)

    rule, start, _ = setting(dpmpp_2m, 16, 3)
    network, euler = Denoiser(counting, Kind.MEAN), TableRule(ddim(VE, rule.plan.times))
    for mode in (
        lambda: picard(network, PROCESS, rule, start, window=5),
        lambda: parareal(network, PROCESS, euler, start),
    ):
        result = mode()
        assert result.state.calls.tolist() == [sum(sizes) // 3] * 3 and result.depth == len(sizes)
        sizes.clear()


@pytest.mark.parametrize("blocks", [None, 3, 25])
def test_parareal_ends_at_the_step_by_step_run(blocks):
    rule, start, serial = setting(ddim, 25)
    exact = parareal(EXACT.denoiser, PROCESS, rule, start, blocks=blocks, tolerance=0.0)
    assert torch.allclose(exact.state.x, serial.x, atol=1e-9)
    rough = parareal(EXACT.denoiser, PROCESS, rule, start, blocks=blocks, tolerance=1e-2)
    assert float((rough.state.x - serial.x).abs().max()) < 0.5 and rough.depth <= exact.depth


def test_guidance_and_clean_sites_go_along():
    free = torch.ones(6, 4, dtype=torch.bool)
    free[:, 1] = False
    start = RunState.start(PROCESS, Noise.range(2, 6), (4,), free=free, clean=torch.full((6, 4), 0.3))
    mask = torch.tensor([True, False, False, False])
    tilt = Tilt(GaussianLikelihood(Selection(mask), torch.ones(1), 0.5), MMPS())

    class Silent(Tilt):
        """The tilt without its records."""

        def __call__(self, m, state, evaluation):
            return super().__call__(m, state, evaluation)[0], state

    quiet = Silent(tilt.reward, tilt.estimator)
    rule, _, _ = setting(ddim, 12)
    parts = (EXACT.denoiser, PROCESS, rule)
    serial = run(*parts, rule.plan, state=start, transforms=(tilt,))
    for mode in (picard, parareal):
        result = mode(*parts, start, tolerance=0.0, transforms=(quiet,)).state
        assert torch.allclose(result.x, serial.x, atol=1e-8) and bool((result.x[:, 1] == start.x[:, 1]).all())
        with pytest.raises(ConfigError, match="keeps records"):
            mode(*parts, start, transforms=(tilt,))


def test_what_sweeps_refuse():
    rule, start, _ = setting(dpmpp_2m, 8)
    parts = (EXACT.denoiser, PROCESS, rule, start)
    with pytest.raises(ConfigError, match="asks for branches"):
        picard(*parts, transforms=(ClassifierFree(torch.zeros(6), 2.0),))
    with pytest.raises(ConfigError, match="width 0"):
        picard(*parts, window=0)
    with pytest.raises(ConfigError, match="memory 1"):
        parareal(*parts)
    assert Temperature(1.0).stochastic is False
