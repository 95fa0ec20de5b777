"""The flow model without training: its structure holds for any weights, any obstacles and any number of calls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scidiff.domains.pde.flow_geometry import CHANNELS, MEAN, FlowGeometry
from scidiff.domains.pde.flow_model import FlowModel
from scidiff.domains.pde.flow_network import FlowNetwork, flow_unet
from scidiff.domains.pde.grids import divergence
from scidiff.domains.pde.images import read_obstacles
from scidiff.domains.pde.obstacles import disc, random_obstacles
from scidiff.domains.pde.solenoidal import Profile, Solenoidal, colour
from scidiff.domains.pde.symmetry import move_channels, move_flow, move_flow_back

from scidiff.errors import ConfigError, DataError, ShapeError
from scidiff.random import Noise
from scidiff.sample.continuous.exponential import dpmpp_2m, unipc

SHAPE = (16, 24)
PROFILE = Profile((0.0, 4.0, 2.0, 1.0, 0.5, 0.1))


def model(wild: bool, shape: tuple[int, int] = SHAPE) -> FlowModel:
    """Model whose network returns 0, or of random weights."""
    network = FlowNetwork(flow_unet(8, (1, 2))).eval()
    if wild:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for p in network.unet.head.parameters():
                p.normal_(generator=generator)
    return FlowModel("test", network, PROFILE, 0.5, shape)


def masks() -> dict[str, np.ndarray]:
    """Obstacles of all topologies: none, a body over the seam, two bodies, a wall along x, closed ones."""
    made = {
        name: np.zeros(SHAPE, dtype=bool)
        for name in ("none", "seam", "two", "channel", "pocket", "across", "box", "slope")
    }
    made["seam"][[0, 1, -1], :3] = True
    made["two"][3:6, 4:8] = made["two"][10:13, 14:20] = True
    made["channel"][:, 0] = True
    made["pocket"][4:11, 4:11] = True
    made["pocket"][6:9, 6:9] = False
    made["across"][5] = True
    made["box"][:, 0] = made["box"][0] = True
    x = np.arange(48)
    made["slope"][x % 16, x // 2] = made["slope"][x % 16, (x // 2 + 1) % 24] = True
    return made


@pytest.mark.parametrize("steps", [1, 4, 20])
def test_every_sample_obeys_any_obstacles_at_any_number_of_calls(steps):
    wild, kinds = model(True), masks()
    samples = wild.sample(len(kinds), obstacles=np.stack(list(kinds.values())), steps=steps, seed=3)
    assert samples.ok.all() and (samples.calls == steps).all()
    assert samples.records["divergence"].max() <= 1e-12
    assert samples.records["wall_flux"].max() == 0.0
    for flow, mask in zip(samples.items, kinds.values(), strict=True):
        # the certificate against its definition
        worst = np.abs(divergence(flow[0], flow[1], (1 / 16, 1 / 16)))[~mask].max() / 16
        assert worst <= 1e-12 * np.abs(flow).max()


@pytest.mark.parametrize("solver", [dpmpp_2m, unipc], ids=["dpmpp_2m", "unipc"])
def test_solver_tables_keep_the_structure_too(solver):
    samples = model(True).sample(2, steps=6, seed=1, solver=solver)
    assert samples.ok.all() and samples.provenance["solver"] == solver.__name__


def test_the_mean_flow_is_held_where_the_obstacles_let_it_through():
    kinds = masks()
    samples = model(True).sample(len(kinds), obstacles=np.stack(list(kinds.values())), steps=2)
    means = dict(zip(kinds, samples.fields.mean((-2, -1)), strict=True))
    for name in ("none", "seam", "two", "channel", "pocket"):
        # round-off of sums of 400 numbers of size 10
        assert np.abs(means[name] - MEAN).max() < 1e-12
    for name in ("across", "box"):
        assert np.abs(means[name]).max() < 1e-12
    # walls of slope 1/2 close both axes but leave their own direction (2, 1) / sqrt 5, with the part of (1, 0) along it
    assert np.abs(means["slope"] - (0.8, 0.4)).max() < 1e-12


def test_without_learning_the_flow_map_is_the_identity():
    plain, mask = model(False), masks()["two"]
    drawn = [plain.sample(3, obstacles=mask, steps=steps, seed=5).fields for steps in (1, 7)]
    geometry = FlowGeometry.around(mask)
    noise = Noise.range(5, 3).normal((2, *SHAPE), step=0, stream="prior")
    eps = geometry.project(colour(noise, PROFILE).numpy())
    want = geometry.base + 0.5 * float(plain.process([geometry]).schedule.sigma(1.0)) * eps
    for fields in drawn:
        assert np.abs(fields - want).max() < 1e-12


def test_samples_do_not_depend_on_how_the_batch_is_cut():
    wild = model(True)
    whole = wild.sample(5, steps=2, seed=2).fields
    cut = wild.sample(5, steps=2, seed=2, batch_size=2).fields
    later = wild.sample(2, steps=2, seed=2, first=3).fields
    # the network is float32: sums in another order
    scale = 1e-4 * np.abs(whole).max()
    assert np.abs(whole - cut).max() < scale and np.abs(whole[3:] - later).max() < scale
    assert np.abs(whole - wild.sample(5, steps=2, seed=3).fields).max() > 1e3 * scale


def test_projection_is_orthogonal_onto_flows_without_mean():
    geometry = FlowGeometry.around(masks()["two"])
    w = np.random.default_rng(0).normal(size=(2, 2, *SHAPE))
    flow = geometry.project(w)
    assert np.abs(geometry.project(flow) - flow).max() < 1e-13
    assert np.abs(flow.mean((-2, -1))).max() < 1e-14
    # what is taken away is orthogonal to what is left, row against row
    assert np.abs(np.einsum("acij,bcij->ab", w - flow, flow)).max() < 1e-10
    assert np.abs(geometry.project(geometry.base[None])).max() < 1e-13


def test_the_base_is_the_flow_without_vorticity_of_unit_mean():
    geometry = FlowGeometry.around(masks()["none"])
    assert np.abs(geometry.base - np.array(MEAN)[:, None, None]).max() < 1e-14
    around = FlowGeometry.around(disc((64, 64), (0.5, 0.5), 0.12)).base
    # potential flow is the one of least energy: 1 at least, and 1 + 2 c for small solid fractions c of a disc
    fraction = disc((64, 64), (0.5, 0.5), 0.12).mean()
    assert 1.0 < (around**2).sum(0).mean() < 1 + 3 * fraction


def test_moves_commute_with_projection_and_channels():
    mask = random_obstacles((32, 32), 1)
    here = FlowGeometry.around(mask)
    w = np.random.default_rng(1).normal(size=(1, 2, 32, 32))
    for move in (np.array([5, 9, 0]), np.array([3, 30, 1])):
        channels = move_channels(here.channels.numpy(), move)
        there = FlowGeometry.around(channels[0] < 0.5)
        assert np.abs(channels - there.channels.numpy()).max() < 1e-6
        assert np.abs(move_flow(here.project(move_flow_back(w, move)), move) - there.project(w)).max() < 1e-12
        assert np.abs(move_flow_back(move_flow(w, move), move) - w).max() == 0.0


def test_the_space_moves_rows_and_passes_gradients():
    here = FlowGeometry.around(masks()["two"])
    space = Solenoidal([here, here], np.array([[0, 0, 0], [4, 2, 1]]))
    w = torch.randn(2, 2, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    flow = space.project(w)
    (flow * flow).sum().backward()
    # gradient of |P w|^2 is 2 P w, as P is its own adjoint
    assert float((w.grad - 2 * flow).detach().abs().max()) < 1e-12
    assert float((space.take([1]).project(w[1:]) - flow[1:]).detach().abs().max()) < 1e-13
    with pytest.raises(ShapeError, match="take"):
        space.project(w[:1])


def test_channels_name_the_obstacles():
    mask = masks()["seam"]
    channels = FlowGeometry.around(mask).channels.numpy()
    assert channels.shape == (CHANNELS, *SHAPE)
    assert (channels[0] == ~mask).all() and (channels[1] == (~mask & ~np.roll(mask, 1, 0))).all()
    # one cell from a body, also across the seam
    assert channels[3][2, 0] == channels[3][0, 3] == channels[3][0, -1] == np.float32(np.exp(-0.25))


def test_an_image_becomes_a_mask(tmp_path):
    from matplotlib.image import imsave

    picture = np.ones((48, 64, 3))
    picture[:12, :16] = 0.0
    path = tmp_path / "drawn.png"
    imsave(path, picture)
    mask = read_obstacles(path, SHAPE)
    want = np.zeros(SHAPE, dtype=bool)
    # top left of the image is small x and large y
    want[:4, 18:] = True
    assert (mask == want).all()
    samples = model(True).sample(2, obstacles=path, steps=1)
    assert samples.ok.all() and (samples.obstacles == want).all()


def test_transparent_pixels_are_fluid_and_bad_images_are_refused(tmp_path):
    from matplotlib.image import imsave

    picture = np.zeros((32, 32, 4))
    picture[8:16, 8:16, 3] = 1.0
    imsave(tmp_path / "clear.png", picture)
    assert read_obstacles(tmp_path / "clear.png", (16, 16)).sum() == 16
    imsave(tmp_path / "dark.png", np.zeros((32, 32, 3)))
    (tmp_path / "text.png").write_text("no image")
    for name, message in (("dark", "dark everywhere"), ("text", "cannot be read"), ("absent", "cannot be read")):
        with pytest.raises(DataError, match=message):
            read_obstacles(tmp_path / f"{name}.png", (16, 16))
    with pytest.raises(DataError, match="at least 64"):
        read_obstacles(tmp_path / "clear.png", (64, 64))


def test_samples_are_taken_and_saved(tmp_path):
    samples = model(True).sample(3, steps=1)
    some = samples.take([2, 0])
    assert (some.obstacles == samples.obstacles[[2, 0]]).all() and some.vorticity.shape == (2, *SHAPE)
    with np.load(samples.save(tmp_path / "flows.npz")) as kept:
        assert (kept["velocity"] == samples.fields).all() and kept["certificate_divergence"].max() <= 1e-12


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"count": 0}, ConfigError, "count"),
        ({"steps": 0}, ConfigError, "steps"),
        ({"obstacles": np.zeros((8, 8), dtype=bool)}, ShapeError, "obstacles"),
        ({"obstacles": np.zeros(SHAPE)}, ShapeError, "booleans"),
        ({"obstacles": np.ones(SHAPE, dtype=bool)}, ConfigError, "solid"),
    ],
    ids=["count", "steps", "shape", "dtype", "solid"],
)
def test_bad_input_is_refused(changes, error, message):
    with pytest.raises(error, match=message):
        model(False).sample(**{"count": 2, **changes})
