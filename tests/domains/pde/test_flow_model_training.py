"""Training of the flow model: pure batches, the spectrum of the noise, a run that goes on, statistics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scidiff.domains.pde.flow_geometry import FlowGeometry
from scidiff.domains.pde.flow_statistics import BANDS, compare_flows, group_moments
from scidiff.domains.pde.flows import FlowLaw
from scidiff.domains.pde.models import load
from scidiff.domains.pde.obstacles import random_obstacles
from scidiff.domains.pde.solenoidal import Profile, Solenoidal, colour
from scidiff.domains.pde.training import recipe
from scidiff.domains.pde.training.flow_data import FlowSet, fit_profile, radial_power
from scidiff.domains.pde.training.flow_recipe import flow_set, flow_task, train_flow

from scidiff.errors import ConfigError, DataError, ShapeError, UnknownNameError
from scidiff.random import Noise

LAW = FlowLaw(shape=(16, 16), times=(0.05, 0.1), trajectories=2)
SHAPE = (32, 32)


def gaussian_set(profile: Profile, geometries: int = 4, each: int = 64) -> FlowSet:
    """Flows that are projected noise of a known profile, plus a mean field of their obstacles."""
    masks = np.stack([random_obstacles(SHAPE, 3, k) for k in range(geometries)])
    fields = []
    for k, mask in enumerate(masks):
        here = FlowGeometry.around(mask)
        white = Noise.range(k, each).normal((2, *SHAPE), step=0, stream="data")
        fields.append(3 * here.base + here.project(colour(white, profile).numpy()))
    return FlowSet(masks, np.concatenate(fields).astype(np.float32), np.repeat(np.arange(geometries), each))


def test_the_fitted_noise_fluctuates_as_the_data_do():
    truth = Profile((0.0, 8.0, 4.0, 2.0, 1.0, 0.5, 0.2, 0.1))
    data = gaussian_set(truth)
    fitted = np.array(fit_profile(data).values)
    shells = np.arange(1, 6)
    # 256 fields; a shell has 8 real modes or more, of which the window leaves a half: 2 % each on both sides, 4 sigma
    assert np.abs(fitted[shells] / np.array(truth.values)[shells] - 1).max() < 0.12
    assert fitted[0] == 0.0 and max(fitted[9:]) < 0.05


def test_radial_power_of_white_noise_is_one():
    power = radial_power(np.random.default_rng(0).normal(size=(200, 2, 16, 16)))
    # a shell of k = 1 has 8 modes: relative error sqrt(2 / (400 * 8)) = 0.025, 4 sigma; k = 0 has one
    assert np.abs(power[1:] - 1).max() < 0.1 and abs(power[0] - 1) < 0.3


def test_data_are_functions_of_their_numbers_and_kept(tmp_path):
    kept = flow_set(2, 5, LAW, path=tmp_path / "flows.npz")
    again, alone = flow_set(2, 5, LAW, path=tmp_path / "flows.npz"), flow_set(1, 5, LAW, first=1)
    assert kept.sha256 == again.sha256 and (kept.fields[4:] == alone.fields).all()
    with pytest.raises(DataError, match="holds flows"):
        flow_set(2, 6, LAW, path=tmp_path / "flows.npz")


def test_centred_flows_have_no_mean_and_lie_in_the_space():
    centred = flow_set(2, 0, LAW).centred(2.0)
    space = Solenoidal([centred.geometries[g] for g in centred.geometry])
    fields = torch.from_numpy(centred.fields).double()
    # the data are float32, at size 1
    assert float((space.apply(fields) - fields).abs().max()) < 1e-5


def task(map_after: int = 0):
    return flow_task(flow_set(4, 0, LAW), flow_set(2, 0, LAW, first=9), LAW, width=8, batch_size=8, map_after=map_after)


def test_batches_are_pure_and_the_map_begins_when_it_should():
    made = task(map_after=3)
    for step, maps in ((0, 0), (3, 3)):
        one, two = made.batch(step, 0, 1), made.batch(step, 0, 1)
        assert torch.equal(one.x0, two.x0) and torch.equal(one.condition, two.condition) and one.maps == maps
    assert not torch.equal(made.batch(0, 0, 1).x0, made.batch(0, 1, 2).x0)
    assert set(made.batch(5, 0, 1).moves[:, 2].tolist()) <= {0, 1}


def test_without_learning_the_loss_is_that_of_a_velocity_of_zero():
    """For ``v = 0`` the first part is the mean square of the velocity of the paths, and one jump equals two."""
    made = task()
    batch = made.batch(0, 0, 1)
    loss, parts = made.loss(made.network, batch, torch.Generator().manual_seed(0))
    assert float(parts["map"]) == 0.0 and float(loss.detach()) == pytest.approx(float(parts["diagonal"]) * 5 / 8)
    assert all(np.isfinite(value) for value in made.validate(made.network).values())


def test_gradients_of_both_losses_are_those_of_differences():
    """One parameter of the head, moved both ways: the projection inside the loss is differentiated rightly."""
    made = task()
    made.network.double()
    bias = made.network.unet.head.bias
    for maps in (0, 4):
        batch = replace(made.batch(0, 0, 1), maps=maps)
        values = {}
        for shift in (0.0, 0.5, -0.5):
            with torch.no_grad():
                bias[1] += shift
            loss, _ = made.loss(made.network, batch, torch.Generator().manual_seed(0))
            values[shift] = float(loss.detach())
            if shift == 0.0:
                gradient = float(torch.autograd.grad(loss, bias)[0][1])
            with torch.no_grad():
                bias[1] -= shift
        # the first part is quadratic, so the difference is exact up to float32; the target of the second is held fixed
        assert gradient == pytest.approx(values[0.5] - values[-0.5], rel=0.02 if maps == 0 else 0.5)


def test_a_run_that_is_stopped_goes_on_and_its_file_samples(tmp_path):
    options = {"geometries": 3, "steps": 4, "batch_size": 4, "width": 8, "law": LAW}
    whole = train_flow(tmp_path / "whole", **options)
    part = train_flow(tmp_path / "part", **options, max_seconds=1e-6)
    assert not part.finished
    while not part.finished:
        part = train_flow(tmp_path / "part", **options, max_seconds=1.0)
    assert whole.model.read_bytes() == part.model.read_bytes()
    model = load(whole.model)
    told = model.card["calibration"]
    assert [model.calibration.noise(calls) for calls in (1, 4, 20)] == [told["noise_scale"]["4"]] * 3
    assert model.calibration.relax == told["relax"] >= 0
    samples = model.sample(2, steps=2, seed=0)
    assert samples.ok.all() and samples.provenance["model_sha256"]


def test_names_and_numbers_are_checked(tmp_path):
    with pytest.raises(UnknownNameError, match="flow"):
        recipe("flwo")
    with pytest.raises(UnknownNameError, match="model"):
        load("nothing")
    with pytest.raises(ConfigError, match="geometries"):
        train_flow(tmp_path, geometries=0)
    with pytest.raises(ShapeError, match="obstacles"):
        FlowSet(np.zeros((1, 4, 4), dtype=bool), np.zeros((1, 2, 4, 5)), np.zeros(1, dtype=int))


def test_statistics_know_what_is_scaled():
    mask = random_obstacles(SHAPE, 0)
    data = gaussian_set(Profile((0.0, 8.0, 4.0, 2.0, 1.0, 0.5)), geometries=1, each=16)
    one = np.stack([group_moments(data.fields, mask)] * 3)
    two = np.stack([group_moments(2 * data.fields, mask)] * 3)
    want = [4.0] * len(BANDS) + [2.0, 2.0, 1.0, 4.0]
    for row, ratio in zip(compare_flows(two, one), want, strict=True):
        # sums of float32 numbers in float64
        assert row.value == pytest.approx(ratio, rel=1e-6) and row.low <= row.value * (1 + 1e-9)
    assert [row.value for row in compare_flows(one, one)] == [1.0] * len(want)
    assert sum(row.share for row in compare_flows(one, one)[: len(BANDS)]) == pytest.approx(1)


def test_the_energy_of_one_wave_lies_in_its_band():
    mask = np.zeros(SHAPE, dtype=bool)
    y = 2 * np.pi * np.arange(32) / 32
    wave = np.stack([np.tile(np.cos(5 * y), (32, 1)), np.zeros(SHAPE)])
    moments = group_moments(np.stack([wave, -wave]), mask)
    # energy 1/2 of mean square 1/2; the vorticity is 2 sin(5 pi / 32) / h times the wave, of mean square 1/2
    assert moments[: len(BANDS)] == pytest.approx([0, 0, 0.25, 0, 0], abs=1e-12)
    assert moments[len(BANDS) + 1] == pytest.approx(0.5 * (64 * np.sin(5 * np.pi / 32)) ** 2)
