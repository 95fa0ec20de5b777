"""The network of a learned prior, its training, and the bundled one."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.priors.gaussian import GaussianPrior
from scidiff.domains.ct.priors.learned import LearnedPrior, bundled, load_prior
from scidiff.domains.ct.priors.network import NetworkConfig, PriorNetwork
from scidiff.domains.ct.priors.objects import beside, phantoms
from scidiff.domains.ct.priors.sections import Sections
from scidiff.domains.ct.priors.slices import SliceSet, averaged, sections_of, split, stacks_of
from scidiff.domains.ct.priors.sources import read_folder
from scidiff.domains.ct.priors.task import SIGMA_MIN, PriorTask
from scidiff.domains.ct.priors.training import Recipe, fit_prior
from scidiff.domains.ct.readers import read_dicom, save_volume
from scidiff.domains.ct.units import MU_WATER
from scidiff.domains.ct.volume import HU, PER_MM, Volume

from scidiff.errors import CheckpointError, ConfigError, DataError, UnknownNameError
from scidiff.random import Noise
from scidiff.train import Precision

SMALL = NetworkConfig((8, 8), blocks=1, stem=2, embedding=8)
FAST = Recipe(
    4, 4, 16, network=SMALL, validate_every=2, drawn=0.0, precision=Precision.FLOAT32, hold_out=0.2
)  # fmt: skip
QUIET = {"threads": 1, "progress": False}


def noise(count: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return Noise.range(seed, count).normal(shape, step=0, stream="test")


def awake(config: NetworkConfig = SMALL) -> PriorNetwork:
    """A network whose zero-initialised layers are not zero."""
    network = PriorNetwork(config, seed=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        for name, value in network.named_parameters():
            if "two" in name or "head" in name:
                torch.nn.init.normal_(value, std=0.2)
    return network.eval().requires_grad_(False)


def prior_of(config: NetworkConfig = SMALL) -> LearnedPrior:
    return LearnedPrior("test", awake(config))


def volume(count: int = 12, size: int = 24, seed: int = 0, unit: str = HU) -> Volume:
    x = GaussianPrior(0.7, 0.4, 20.0, 3.0).draw(count, Grid((size, size), 2.0), seed=seed).clamp(0, 2.4)
    values = 1000 * (x - 1) if unit == HU else MU_WATER * x
    return Volume(values.float(), Grid((count, size, size), (8.0, 2.0, 2.0)), unit, {})


@pytest.mark.parametrize("shape", [(16, 16), (17, 23), (9, 40), (1, 3)], ids=str)
def test_any_size_is_denoised_and_keeps_its_dtype(shape, dtype):
    prior, grid = prior_of(), Grid(shape, 2.0)
    x = noise(2, *shape).to(dtype)
    out = prior.denoise(x, torch.tensor([0.1, 2.0]), grid)
    assert out.shape == x.shape
    assert out.dtype == dtype
    assert bool(out.isfinite().all())
    assert torch.equal(out, prior.denoise(x, torch.tensor([0.1, 2.0]), grid))
    one = prior.denoise(x[1:], 2.0, grid)
    # rows of a batch do not see each other; convolutions may sum in another order
    assert torch.allclose(one, out[1:], atol=1e-5)


def test_an_untrained_network_is_the_best_linear_guess_of_white_data():
    network = PriorNetwork(SMALL)
    x, sigma = noise(2, 1, 8, 8).float(), torch.tensor([0.2, 3.0])
    gain = (0.25 / (0.25 + sigma**2))[:, None, None, None]
    assert torch.allclose(network(x, sigma, torch.ones(2)), 0.6 + gain * (x - 0.6), atol=1e-6)


def test_a_pixel_sees_nothing_beyond_the_reach():
    config = NetworkConfig((4, 4, 4), blocks=1, stem=2, embedding=8)
    network, size = awake(config), 4 * config.reach // 8 * 8
    x = noise(1, 1, size, size).float()
    other = x.clone()
    other[..., size // 2, size // 2] += 5.0
    changed = (network(x, torch.ones(1), torch.ones(1)) - network(other, torch.ones(1), torch.ones(1)))[0, 0] != 0
    rows = torch.nonzero(changed.any(1))[:, 0] - size // 2
    assert int(rows.abs().max()) <= config.reach
    assert int(rows.abs().max()) > config.reach // 3


def test_inside_the_border_the_network_commutes_with_shifts():
    config = NetworkConfig((4, 4), blocks=1, stem=2, embedding=8)
    network, reach, shift = awake(config), config.reach, config.factor
    x = noise(1, 1, 4 * reach, 4 * reach).float()
    moved = torch.roll(x, (shift, 2 * shift), (2, 3))
    first, second = (network(v, torch.ones(1), torch.ones(1)) for v in (x, moved))
    inner = slice(reach + 2 * shift, -reach - 2 * shift)
    back = torch.roll(second, (-shift, -2 * shift), (2, 3))
    assert torch.allclose(first[..., inner, inner], back[..., inner, inner], atol=1e-5)


def test_tiles_with_margins_of_the_reach_give_the_whole():
    prior = prior_of(NetworkConfig((4, 4), blocks=1, stem=2, embedding=8))
    config = prior.network.config
    margin = -(-config.reach // 4) * 4
    tile = 4 * margin + 2 * config.factor
    # two tiles on each axis whose places differ by a multiple of the factor
    size = 2 * tile - (2 * margin + config.factor) - 2 * margin
    grid, t = Grid((size, size), 2.0), prior.time(0.5)
    x = noise(2, size, size)
    whole, cut = prior.denoiser(grid)(x, t), prior.denoiser(grid, tile=tile)(x, t)
    inner = slice(config.reach, size - config.reach)
    assert torch.allclose(whole[:, inner, inner], cut[:, inner, inner], atol=1e-5)
    with pytest.raises(ConfigError, match="multiples of"):
        prior.denoiser(grid, tile=tile - 1)
    with pytest.raises(ConfigError, match="do not cut"):
        prior.denoiser(Grid((8, size), 2.0), tile=tile)(x[:, :8], t)


def test_gradients_pass_to_the_state_and_not_to_the_weights():
    prior, grid = prior_of(), Grid((12, 12), 2.0)
    x = noise(1, 12, 12).requires_grad_()
    prior.denoise(x, 0.3, grid).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.float64
    assert all(p.grad is None for p in prior.network.parameters())


def test_below_the_least_noise_of_training_the_data_are_kept():
    prior, grid = prior_of(), Grid((8, 8), 2.0)
    x = noise(1, 8, 8)
    assert torch.equal(prior.denoise(x, 0.0, grid), x)
    at, half = (prior.denoise(x, level, grid) - x for level in (SIGMA_MIN, SIGMA_MIN / 2))
    assert torch.allclose(half, at / 4, atol=1e-12)


def test_training_ends_in_a_file_that_is_loaded_as_it_is(tmp_path):
    path = fit_prior({"a": volume(), "b": volume(seed=1)}, tmp_path, FAST, **QUIET)
    prior = load_prior(path)
    card = json.loads(path.with_suffix(".json").read_text())
    assert set(card["task"]["data"]["sha256"]) == {"a", "b"}
    assert card["training"]["stopped"] == "finished"
    assert card["validation"]["error"] > 0
    assert prior.provenance()["sha256"] == card["sha256"]
    assert prior.unit == MU_WATER
    assert (prior.lower, prior.upper) == (0.0, 2.5)
    grid = Grid((20, 20), 2.0)
    x = noise(1, 20, 20)
    assert torch.equal(prior.denoise(x, 0.3, grid), load_prior(path).denoise(x, 0.3, grid))
    again = fit_prior({"a": volume(), "b": volume(seed=1)}, tmp_path / "again", FAST, **QUIET)
    assert json.loads(again.with_suffix(".json").read_text())["sha256"] == card["sha256"]


def test_training_goes_on_and_stops_without_progress(tmp_path):
    source = {"a": volume(), "b": volume(seed=1)}
    fit_prior(source, tmp_path / "x", FAST, max_seconds=1e-9, **QUIET)
    path = fit_prior(source, tmp_path / "x", FAST, **QUIET)
    assert json.loads(path.with_suffix(".json").read_text())["training"]["step"] == 4
    settings = replace(FAST, steps=400, learning_rate=1e-12, patience=2, hold_out="b")
    path = fit_prior(source, tmp_path / "y", settings, **QUIET)
    training = json.loads(path.with_suffix(".json").read_text())["training"]
    assert training["stopped"] == "no more progress"
    assert training["step"] < 400


def test_patience_is_that_of_an_unbroken_run(tmp_path, monkeypatch):
    """Stopped between validations and taken up again it ends at the same step, and once ended it takes none."""
    source = {"a": volume(), "b": volume(seed=1)}
    settings = replace(FAST, steps=400, learning_rate=1e-12, patience=4, hold_out="b")

    def end(name: str) -> dict:
        return json.loads(fit_prior(source, tmp_path / name, settings, **QUIET).with_suffix(".json").read_text())

    whole = end("whole")
    validate, done = PriorTask.validate, []

    def interrupted(task, network):
        done.append(validate(task, network))
        if len(done) == 3:
            signal.raise_signal(signal.SIGTERM)
        return done[-1]

    monkeypatch.setattr(PriorTask, "validate", interrupted)
    assert end("parts")["training"]["stopped"] == "SIGTERM"
    parts = end("parts")
    assert parts["training"]["step"] == whole["training"]["step"] > 6
    assert parts["training"]["stopped"] == "no more progress"
    assert parts["sha256"] == whole["sha256"]
    before = len(done)
    assert end("parts")["training"]["step"] == whole["training"]["step"]
    assert len(done) == before


def test_slices_held_out_are_not_learned_from():
    marked = Volume(torch.arange(20.0)[:, None, None].expand(20, 16, 16) - 500, Grid((20, 16, 16), 2.0), HU)
    train, valid = split({"a": marked}, 0.2)
    learned = {int(v) for part in train.values() for v in part.values[:, 0, 0]}
    held = {int(v) for part in valid.values() for v in part.values[:, 0, 0]}
    assert len(held) == 4
    assert not {v + d for v in held for d in (-1, 0, 1)} & learned
    train, valid = split({"a": marked, "b": marked}, "b")
    assert (set(train), set(valid)) == ({"a"}, {"b"})


def test_crops_are_a_function_of_their_seed_and_stay_in_range():
    assert sum(s.weight for s in stacks_of(volume(20, 40), 16)) == pytest.approx(1.0)
    sources = [
        *stacks_of(volume(20, 40), 16),
        *phantoms(1, 0, 32, 2.5, (1.0, 4.0)),
        sections_of(volume(20, 40, seed=1)),
    ]
    draw = lambda seed: SliceSet(sources, 16, varied=True).draw(64, np.random.default_rng(seed))  # noqa: E731
    (x, pixel), (again, _), (other, _) = draw(1), draw(1), draw(2)
    assert torch.equal(x, again)
    assert not torch.equal(x, other)
    assert 0.0 <= float(x.min())
    assert float(x.max()) <= 2.5 * 1.03
    assert float(pixel.max()) > 1.2 * float(pixel.min())


def test_planes_of_a_linear_volume_are_linear_wherever_they_lie():
    """Splines, trilinear interpolation and means over symmetric points are exact for it, but for the border.

    What the border does to cubic splines falls by 0.27 for each voxel: eight voxels inside it is 3e-5 of a step of
    0.03, below the round-off of float32.
    """
    shape, pitch, slope = (32, 36, 40), (2.0, 1.5, 1.5), np.array([0.01, -0.02, 0.015])
    axes = [(np.arange(n) - (n - 1) / 2) * h for n, h in zip(shape, pitch, strict=True)]
    values = 1.0 + sum(g * a for g, a in zip(slope, np.meshgrid(*axes, indexing="ij"), strict=True))
    planes, random = Sections(torch.tensor(values, dtype=torch.float32), pitch), np.random.default_rng(0)
    turns, seen = set(), 0
    for _ in range(40):
        half = float(random.uniform(4.0, 9.0))
        frame, centre = planes._place(half, random)
        assert np.allclose(frame @ frame.T, np.eye(2), atol=1e-12)
        assert (np.abs(centre) + half * np.abs(frame).sum(0) <= planes.extent / 2 * (1 + 1e-9)).all()
        turns.add(round(float(frame[0, 1]), 3))
        edge, pixel = 6, half / 4
        at = (np.arange(edge) - (edge - 1) / 2) * pixel
        points = centre + at[:, None, None] * frame[0] + at[None, :, None] * frame[1]
        inside = (np.abs(points) < planes.extent / 2 - 8 * np.array(pitch)).all(-1)
        off = np.abs(planes.sample(centre, frame, edge, pixel).numpy() - (1.0 + points @ slope))
        assert not inside.any() or off[inside].max() < 1e-5
        seen += int(inside.sum())
    assert len(turns) > 20
    assert seen > 200


def test_lines_are_drawn_in_air_only():
    image = np.zeros((32, 32), dtype=np.float32)
    image[8:24, 8:24] = 1.0
    changed = np.zeros_like(image, dtype=bool)
    for seed in range(20):
        out = beside(image, np.random.default_rng(seed))
        assert 0.0 <= out.min() and out.max() <= 2.5
        assert (out[8:24, 8:24] == 1.0).all()
        changed |= out != image
    assert changed.mean() > 0.3
    full = np.ones((32, 32), dtype=np.float32)
    assert beside(full, np.random.default_rng(0)) is full


def test_pixels_are_means():
    x = noise(2, 12, 18).float()
    assert torch.allclose(averaged(x, (4, 6)), torch.nn.functional.avg_pool2d(x[:, None], 3)[:, 0], atol=1e-6)
    odd = averaged(x, (5, 7))
    assert torch.allclose(odd.mean((1, 2)), x.mean((1, 2)), atol=1e-6)
    assert torch.allclose(averaged(x.repeat_interleave(5, 1), (12, 18)), x, atol=1e-6)


def test_what_cannot_be_learned_from_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no volume"):
        fit_prior(tmp_path, tmp_path / "out", FAST, **QUIET)
    with pytest.raises(DataError, match="different units"):
        fit_prior({"a": volume(), "b": volume(unit=PER_MM)}, tmp_path / "out", FAST, **QUIET)
    with pytest.raises(DataError, match="smaller crops"):
        fit_prior({"a": volume()}, tmp_path / "out", replace(FAST, crop=64), **QUIET)
    wrong = Volume(volume().values, volume().grid, PER_MM)
    with pytest.raises(DataError, match="its unit"):
        fit_prior({"a": wrong}, tmp_path / "out", FAST, **QUIET)
    with pytest.raises(DataError, match="cannot be held out"):
        fit_prior({"a": volume()}, tmp_path / "out", replace(FAST, hold_out="a"), **QUIET)
    with pytest.raises(UnknownNameError, match="totalseg"):
        fit_prior("totalsegs", tmp_path / "out", FAST, **QUIET)
    with pytest.raises(ConfigError, match="patience"):
        Recipe(patience=0)


def test_a_folder_of_several_formats_is_read(tmp_path):
    save_volume(tmp_path / "a.nii.gz", volume())
    save_volume(tmp_path / "b.npz", volume(seed=1))
    (tmp_path / "notes.txt").write_text("not a volume")
    found = read_folder(tmp_path)
    assert list(found) == ["a.nii.gz", "b.npz"]
    assert torch.allclose(found["a.nii.gz"].values, volume().values)
    (tmp_path / "tiff").mkdir()
    save_volume(tmp_path / "tiff" / "c.tif", volume(unit=PER_MM))
    with pytest.raises(DataError, match="pass voxel"):
        read_folder(tmp_path / "tiff")
    assert read_folder(tmp_path / "tiff", voxel=2.0)["tiff"].unit == PER_MM


def test_what_is_not_a_prior_is_refused(tmp_path):
    from scidiff.io.checkpoint import save_model

    with pytest.raises(UnknownNameError, match="prior"):
        load_prior("no such prior")
    save_model(tmp_path / "x.safetensors", {"w": torch.zeros(1)}, {"task": {"domain": "pde/flow"}})
    with pytest.raises(CheckpointError, match="ct/prior"):
        load_prior(tmp_path / "x.safetensors")


def test_the_command_learns_from_a_folder_and_goes_on(tmp_path):
    from scidiff.domains.ct.cli import app
    from typer.testing import CliRunner

    save_volume(tmp_path / "data" / "a.npz", volume())
    settings = [
        "--steps",
        "2",
        "--batch-size",
        "2",
        "--crop",
        "16",
        "--drawn",
        "0",
        "--hold-out",
        "0.2",
        "--threads",
        "1",
    ]
    told = CliRunner().invoke(app, ["train", str(tmp_path / "data"), "--out", str(tmp_path / "run"), *settings])
    assert told.exit_code == 0
    assert load_prior(tmp_path / "run" / "model.safetensors").card["training"]["step"] == 2
    refused = CliRunner().invoke(app, ["train", "--out", str(tmp_path / "run")])
    assert isinstance(refused.exception, ConfigError)


def test_total_variation_shrinks_a_step_by_its_weight():
    # of a step between m columns on either side, each side moves by weight / m; the objective is 1-strongly convex and
    # its error after k steps at most 16 |q|^2 / (k + 1)^2 with |q|^2 at most weight^2 per pixel
    from scidiff.domains.ct.rows.priors import tv_denoise

    y = torch.zeros(1, 6, 16, dtype=torch.float64)
    y[..., 8:] = 1.0
    out = tv_denoise(y, 0.4, 2000)
    expected = torch.where(y > 0.5, 1 - 0.05, 0.05)
    assert float((out - expected).norm()) < (2 * 16 * 0.16 * y.numel()) ** 0.5 / 2001


@pytest.mark.skipif(not bundled(), reason="no prior is bundled with this checkout")
@pytest.mark.slow
def test_the_rows_of_the_benchmark_pass_their_bars(monkeypatch):
    from scidiff.domains.ct.rows import prior_rows

    monkeypatch.delenv("SCIDIFF_DATA", raising=False)
    rows = list(prior_rows(True, 0))
    assert len(rows) == 4
    assert all(row.passed for row in rows)


@pytest.mark.skipif(not bundled(), reason="no prior is bundled with this checkout")
def test_the_bundled_prior_denoises_phantoms_better_than_the_wiener_filter():
    from scidiff.domains.ct.phantoms import random_ellipses

    prior, gaussian = load_prior("ct"), GaussianPrior()
    grid = Grid.square(64, 200.0)
    truth = torch.stack([random_ellipses(90, k).image(grid, 3) for k in range(3)]) / MU_WATER
    for level in (0.05, 0.2):
        x = truth + level * noise(3, 64, 64, seed=5)
        errors = [(p.denoise(x, level, grid) - truth).square().mean((1, 2)) for p in (prior, gaussian)]
        assert bool((errors[0] < 0.7 * errors[1]).all())


@pytest.mark.skipif(not bundled(), reason="no prior is bundled with this checkout")
def test_the_bundled_prior_beats_the_wiener_filter_on_slices_of_another_patient(scidiff_data: Path):
    folder = scidiff_data / "ct" / "totalseg" / "dicom"
    if not folder.is_dir():
        pytest.skip("SCIDIFF_DATA has no DICOM series of the test")
    pytest.importorskip("pydicom")
    series = read_dicom(folder)
    x0 = (series.attenuation() / MU_WATER).clamp(0, 2.5)[2::8]
    x0 = torch.nn.functional.avg_pool2d(x0, 4)
    grid = Grid((128, 128), 4 * series.grid.lengths[-1])
    gaussian = GaussianPrior()
    for level in (0.02, 0.1, 0.5):
        x = x0 + level * noise(len(x0), 128, 128, seed=6)
        errors = [(p.denoise(x, level, grid) - x0).square().mean((1, 2)) for p in (load_prior("ct"), gaussian)]
        assert bool((errors[0] < errors[1]).all())
