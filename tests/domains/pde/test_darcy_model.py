"""The joint Darcy model without training: what it returns is exact for any weights, sensors and numbers of calls."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scidiff.domains.pde import load
from scidiff.domains.pde.darcy.chart import HIGH, LOW, SCHEDULE, Chart, PairProcess, medium, unit_field
from scidiff.domains.pde.darcy.conditions import CHANNELS, blank, show_heads, show_signs
from scidiff.domains.pde.darcy.model import DarcyModel
from scidiff.domains.pde.darcy.network import PairNetwork, pair_unet
from scidiff.domains.pde.darcy.observations import Observations, read_observations
from scidiff.domains.pde.laws import Neumann
from scidiff.domains.pde.problems.darcy import Darcy
from scidiff.domains.pde.sensors import random_sensors
from scidiff.domains.pde.training.darcy_data import fit_chart, pair_set, turned
from scidiff.domains.pde.training.darcy_recipe import darcy_task, train_darcy

from scidiff.errors import ConfigError, DataError, ShapeError
from scidiff.random import Noise, SharedNoise
from scidiff.sample.continuous.exponential import unipc
from scidiff.train import Precision

SIZE = 16


def chart() -> Chart:
    """Chart of a few pairs."""
    return fit_chart(pair_set(8, 0, SIZE), 0.4)


def model(wild: bool = True) -> DarcyModel:
    """Model whose network has random weights, or returns 0."""
    network = PairNetwork(pair_unet(8, (1, 2)), SIZE).eval()
    if wild:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for p in [*network.unet.head.parameters(), network.mix.weight]:
                p.normal_(generator=generator, std=0.3)
    return DarcyModel("test", network, chart())


def truth(count: int = 1, first: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Media and heads of the law."""
    state = Darcy(SIZE).solve(Darcy(SIZE).draw(Noise.range(0, count, first)))
    return state["a"].numpy(), state["u"].numpy()


def observed(sensors: int = 40) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Sensors of a true pair."""
    (a,), (u,) = truth()
    index = random_sensors((SIZE, SIZE), sensors, 1).index
    at = (index[:, 0], index[:, 1])
    return {"a": (index, a[at]), "u": (index, u[at])}


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("known", [(), ("a",), ("u",), ("a", "u")], ids=["none", "medium", "head", "both"])
def test_every_sample_solves_the_equation_and_obeys_the_medium_that_was_read(steps, known):
    one, readings = model(), observed()
    seen = one.observe(**{name: readings[name] for name in known})
    samples = one.sample(3, sensors=seen, steps=steps, seed=2)
    assert samples.ok.all() and (samples.calls == steps).all()
    assert set(np.unique(samples.media)) <= {LOW, HIGH}
    # round-off of the solver: eps times the condition number of the matrix, below 1e4 at this size
    rest = Darcy(SIZE).residual(samples.state).abs().amax((1, 2)).numpy()
    assert rest.max() <= 1e-10 and np.allclose(samples.records["residual"], rest, rtol=1e-12)
    if "a" in known:
        index, values = readings["a"]
        assert (samples.media[:, index[:, 0], index[:, 1]] == values).all()
        assert samples.records["overruled"].max() > 0
    if "u" in known:
        index, values = readings["u"]
        gap = np.linalg.norm(samples.heads[:, index[:, 0], index[:, 1]] - values, axis=1)
        assert np.allclose(samples.records["head_misfit"], gap / np.linalg.norm(values), rtol=1e-12)
    assert samples.certificate(independent=False).relative.numpy() == pytest.approx(samples.records["residual"])


def test_the_certificate_sees_that_the_networks_own_head_solves_nothing():
    samples = model().sample(2, steps=3)
    rest = Darcy(SIZE).residual({**samples.state, "u": torch.from_numpy(samples.raw)})
    assert samples.records["network_residual"] == pytest.approx(rest.square().mean((1, 2)).sqrt().numpy())
    assert samples.records["network_residual"].min() > 1e-3 > 1e3 * samples.records["residual"].max()


def test_sensors_that_read_a_sample_of_the_model_leave_its_medium_as_it_is():
    one = model()
    first = one.sample(1, steps=2, seed=4)
    index = np.argwhere(np.ones((SIZE, SIZE)))
    seen = one.observe(a=(index, first.media[0].ravel()))
    again = one.sample(1, sensors=seen, steps=2, seed=5)
    assert (again.media == first.media).all() and (again.heads == first.heads).all()


def test_an_untrained_network_leaves_the_noise_as_it_is_up_to_the_order_of_the_solver():
    # m = alpha x has velocity 0 in the angle of the schedule: the probability flow keeps x
    one, noise = model(wild=False), Noise.range(0, 4)
    first = one.process.prior(noise, (2, SIZE, SIZE)).numpy()
    lost = []
    for steps in (12, 48):
        x, calls = one.draw(noise, torch.from_numpy(blank(one.chart, 4)), steps)
        factor = x / first
        assert (calls == steps).all() and np.ptp(factor) <= 1e-6
        lost.append(abs(1 - factor.mean()))
    # second order: 16 times less for steps a quarter as long, 8 with the terms of higher order
    assert lost[1] < lost[0] / 8 and lost[0] < 0.1


def test_the_noise_has_the_covariance_that_is_claimed():
    noise = PairProcess().eps(Noise.range(3, 2000), (2, 8, 8), step=0, stream="x").numpy()
    index = np.argwhere(np.ones((8, 8)))
    for k, (basis, alpha) in enumerate(((Neumann(), 1.5), (PairProcess()._bases[1], 2.0))):
        wanted = unit_field(basis, alpha, 3.0, (8, 8)).covariance(index, index)
        found = noise[:, k].reshape(2000, -1).T @ noise[:, k].reshape(2000, -1) / 2000
        # standard error of a covariance of normals: sqrt((C_ii C_jj + C_ij^2) / 2000)
        size = np.diag(wanted)
        error = np.sqrt((np.outer(size, size) + wanted**2) / 2000)
        assert np.abs((found - wanted) / error).max() < 5.0
        assert wanted.trace() / 64 == pytest.approx(1.0, rel=1e-12)


def test_noise_on_a_finer_grid_is_the_same_function_with_more_modes():
    coarse, fine = (PairProcess().eps(Noise.range(0, 1), (2, n, n), step=1, stream="x")[0].numpy() for n in (8, 64))
    for k, basis in enumerate(PairProcess()._bases):
        low, high = basis.analysis(coarse[k]), basis.analysis(fine[k])[:8, :8]
        ratio = high / low
        inner = slice(1, 7)
        # the average variance is 1 on either grid, so all modes share one factor, near 1
        assert np.ptp(ratio[inner, inner]) <= 1e-9 and 0.8 < ratio[1, 1] <= 1.0


@pytest.mark.parametrize("move", range(8))
def test_turning_the_square_commutes_with_solver_chart_and_channels(move):
    (a,), (u,) = truth()
    one, readings = chart(), observed(30)
    turned_a = torch.from_numpy(turned(a, move).copy())[None]
    solved = Darcy(SIZE).solve({"a": turned_a, "f": torch.ones_like(turned_a)})["u"][0].numpy()
    assert np.abs(solved - turned(u, move)).max() <= 1e-12 * np.abs(u).max()
    assert np.array_equal(turned(one.mean, move), one.mean)
    place = np.zeros((SIZE, SIZE), dtype=int)
    index = readings["a"][0]
    place[index[:, 0], index[:, 1]] = np.arange(1, len(index) + 1)
    moved = np.argwhere(turned(place, move))
    order = turned(place, move)[moved[:, 0], moved[:, 1]] - 1
    found = []
    for cells, which in ((index, np.arange(len(index))), (moved, order)):
        channels = blank(one, 1)
        show_signs(channels, cells, np.where(readings["a"][1][which] == HIGH, 1.0, -1.0)[None])
        show_heads(channels, one, cells, readings["u"][1][which][None])
        found.append(channels[0])
    # kriging with a nugget of 1e-7 loses up to seven digits of sixteen
    assert np.abs(found[1] - turned(found[0], move)).max() <= 1e-5


def test_channels_interpolate_what_was_read():
    one, readings = chart(), observed()
    (index, a), (_, u) = readings["a"], readings["u"]
    channels = Observations.of((SIZE, SIZE), **readings).channels(one)[0]
    at = (index[:, 0], index[:, 1])
    assert channels.shape == (CHANNELS, SIZE, SIZE) and channels[0].sum() == len(index)
    assert np.abs(channels[1][at] - np.where(a == HIGH, 1, -1)).max() < 0.1
    assert np.abs(one.mean[at] + one.scale * channels[3][at] - u).max() <= 1e-3 * one.scale


def test_the_chart_is_inverted():
    one, rng = chart(), np.random.default_rng(0)
    g, u = rng.normal(size=(2, SIZE, SIZE)), rng.normal(size=(2, SIZE, SIZE))
    x = one.encode(g, u)
    assert np.allclose(one.head(x), u, atol=1e-14)
    assert (medium(x[:, 0]) == medium(g)).all()
    near = np.abs(g) < 0.7
    assert np.abs(one.latent(x) - g)[near].max() <= 1e-12


def test_samples_are_the_same_for_any_batch_split_and_go_on_from_any_index():
    one = model()
    whole = one.sample(5, steps=2, seed=9)
    split = one.sample(5, steps=2, seed=9, batch_size=2)
    later = one.sample(2, steps=2, seed=9, first=3)
    assert (whole.media == split.media).all() and (whole.media[3:] == later.media).all()
    assert whole.take([4, 1]).index.tolist() == [4, 1]


def test_refined_samples_are_exact_too_and_obey_the_sensors_better():
    one, readings = model(), observed(60)
    for names in (("a",), ("u",), ("a", "u")):
        seen = one.observe(**{name: readings[name] for name in names})
        plain, better = (one.sample(2, sensors=seen, steps=2, seed=1, refine=k) for k in (0, 4))
        assert better.ok.all() and better.records["residual"].max() <= 1e-10
        assert better.records["corrections"].min() > 0 == plain.records["corrections"].max()
        if "u" in names:
            assert (better.records["head_misfit"] < plain.records["head_misfit"]).all()


def test_other_solvers_are_accepted_and_named():
    samples = model().sample(2, steps=4, solver=unipc)
    assert samples.provenance["solver"] == "unipc" and samples.ok.all()


BAD = {
    "outside": ({"a": ([[0, SIZE]], [HIGH])}, DataError, "outside"),
    "twice": ({"u": ([[1, 2], [1, 2]], [0.1, 0.1])}, DataError, "both at"),
    "nan": ({"u": ([[1, 2]], [np.nan])}, DataError, "finite"),
    "neither": ({"a": ([[1, 2], [3, 4]], [HIGH, 7.0])}, DataError, "sensor 1 of a .* reads 7"),
    "negative": ({"u": ([[1, 2]], [-0.1])}, DataError, "positive"),
    "uneven": ({"u": ([[1, 2]], [0.1, 0.2])}, ShapeError, "one each"),
    "fraction": ({"u": ([[1.5, 2.0]], [0.1])}, ShapeError, "integers"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_sensors_that_contradict_the_problem_are_refused(case):
    known, error, message = case
    with pytest.raises(error, match=message):
        model().observe(**known)


def test_sensors_come_from_tables_and_arrays(tmp_path):
    readings = observed(12)
    lines = ["field,i,j,value"]
    for name, (index, values) in readings.items():
        lines += [f"{name},{i},{j},{value!r}" for (i, j), value in zip(index.tolist(), values.tolist(), strict=True)]
    (tmp_path / "s.csv").write_text("\n".join(lines))
    arrays = {
        f"{n}_{part}": x for n, pair in readings.items() for part, x in zip(("index", "values"), pair, strict=True)
    }
    np.savez(tmp_path / "s.npz", **arrays)
    one = model()
    made = [one.sample(1, sensors=tmp_path / name, steps=2) for name in ("s.csv", "s.npz")]
    assert (made[0].heads == made[1].heads).all() and made[0].provenance["sensors"] == {"medium": 12, "head": 12}
    (tmp_path / "bad.csv").write_text("field,i,j,value\nk,1,2,3\n")
    for name, error in (("bad.csv", DataError), ("none.npz", DataError), ("s.txt", ConfigError)):
        with pytest.raises(error):
            read_observations(tmp_path / name, (SIZE, SIZE))


def test_samples_are_saved_with_their_certificates(tmp_path):
    samples = model().sample(2, steps=1)
    with np.load(samples.save(tmp_path / "x.npz")) as kept:
        assert (kept["a"] == samples.media).all() and kept["certificate_residual"].max() <= 1e-10
        assert json.loads(str(kept["provenance"]))["label"] == "biased"
    assert samples.save(tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ConfigError):
        samples.save(tmp_path / "x.txt")
    with pytest.raises(ConfigError):
        model().sample(0)


def test_batches_are_functions_of_the_step_and_show_only_what_the_shares_allow():
    data = pair_set(8, 0, SIZE)
    task = darcy_task(data, data, width=8, batch_size=64)
    one, again, other = task.batch(3, 0, 1), task.batch(3, 0, 1), task.batch(4, 0, 1)
    assert torch.equal(one.condition, again.condition) and not torch.equal(one.x0, other.x0)
    kinds = {(bool(c[0].any()), bool(c[2].any())) for c in one.condition}
    assert kinds == {(False, False), (True, False), (False, True), (True, True)}
    # where the medium was read, the coordinate has the sign of the kriged one
    seen = one.condition[:, 0] > 0
    assert (torch.sign(one.x0[:, 0])[seen] == torch.sign(one.condition[:, 1])[seen]).float().mean() > 0.99


def test_the_loss_of_an_untrained_network_is_the_variance_of_its_target():
    data = pair_set(8, 0, SIZE)
    task = darcy_task(data, data, width=8, batch_size=32)
    loss, parts = task.loss(task.network, task.batch(0, 0, 1), torch.Generator().manual_seed(0))
    x0 = task.batch(0, 0, 1).x0
    noise = SharedNoise(torch.Generator().manual_seed(1), 512)
    eps = task.process.eps(noise, (2, SIZE, SIZE), step=0, stream="x")
    # v = alpha eps - sigma x0 with t uniform: cos^2 and sin^2 average to 1/2 each
    wanted = float((eps.square().mean() + x0.square().mean()) / 2)
    assert float(loss.detach()) == pytest.approx(wanted, rel=0.35) and set(parts) == {"medium", "head"}
    assert float(SCHEDULE.alpha(0.5)) == pytest.approx(2**-0.5, abs=1e-3)


def test_a_run_trains_resumes_and_loads(tmp_path):
    settings = {"pairs": 16, "batch_size": 4, "width": 8, "size": SIZE, "precision": Precision.FLOAT32}
    result = train_darcy(tmp_path, steps=4, **settings)
    assert result.finished and np.isfinite(result.metrics["inverse"])
    one = load(result.model)
    samples = one.sample(2, steps=2, sensors=one.observe(u=observed()["u"]), refine=1)
    assert samples.ok.all() and samples.provenance["model_sha256"] == one.card["sha256"]
    assert one.card["task"]["data"]["first"] == [0, 10**6]
    again = train_darcy(tmp_path, steps=4, **settings)
    assert again.step == 4
    with pytest.raises(DataError, match="holds pairs"):
        train_darcy(tmp_path, steps=4, **{**settings, "pairs": 17})
    with pytest.raises(ConfigError):
        train_darcy(tmp_path / "other", size=12)
