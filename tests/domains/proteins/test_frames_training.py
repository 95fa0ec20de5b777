from __future__ import annotations

from inspect import signature

import pytest
import torch
from scidiff.domains.proteins.chains import Chains
from scidiff.domains.proteins.cli import app
from scidiff.domains.proteins.frames.model import FrameModel
from scidiff.domains.proteins.frames.recipe import build_task
from scidiff.domains.proteins.frames.recipe import train as train_frames
from scidiff.domains.proteins.frames.rotations import RotationDiffusion, RotationFlow
from scidiff.domains.proteins.ideal_chains import HELIX_TORSIONS, STRAND_TORSIONS, from_degrees
from scidiff.domains.proteins.recipes import RECIPES, recipe
from scidiff.domains.proteins.torsion.model import load, of_torsions
from scidiff.domains.proteins.trajectory import trajectory
from typer.testing import CliRunner

from scidiff.errors import ConfigError, UnknownNameError
from scidiff.random import SharedNoise
from scidiff.spaces.so3 import SO3
from scidiff.train import Precision, TrainConfig, train

from . import torsion_cases
from .frame_cases import TINY, untrained

LAWS, NAMES = [RotationFlow(), RotationDiffusion()], ["flow", "diffusion"]


def toy(size: int = 6) -> Chains:
    """Helices of different lengths with a bent tail."""
    return Chains.cat([from_degrees([HELIX_TORSIONS] * (20 + k) + [STRAND_TORSIONS] * 6) for k in range(size)])


def task(law):
    return build_task(toy(), toy(2), TINY, law, batch_size=4)


@pytest.mark.parametrize("law", LAWS, ids=NAMES)
def test_without_knowledge_the_error_of_rotations_is_about_one(law):
    generator = torch.Generator().manual_seed(0)
    noise = SharedNoise(generator, 4000)
    q0 = SO3().uniform(noise, (1, 4), step=0, stream="")
    time = law.training_times(0.5 + 0 * noise.uniform(), noise)
    q_t = law.process.noise(q0, time, noise)
    blind = law.error(torch.zeros(4000, 1, 3, dtype=torch.float64), q0, q_t, time)
    known = law.error(SO3().log(q_t, q0), q0, q_t, time)
    # 4000 frames, 5 standard errors
    slack = 5 * float(blind.std()) / 4000**0.5
    if isinstance(law, RotationFlow):
        # the vector to the data is t times that of a uniform rotation: 1 by the units
        assert float(blind.mean()) == pytest.approx(1.0, abs=slack)
    else:
        # E |S|^2 <= 3 / V on a space of positive curvature, equal to it at small V; here V = 1.5
        assert 0.2 < float(blind.mean()) < 1 + slack
    assert float(known.max()) < 1e-12


@pytest.mark.parametrize("law", LAWS, ids=NAMES)
def test_training_lowers_the_loss(law):
    ours = task(law)
    optimizer = torch.optim.Adam(ours.network.parameters(), 1e-2)
    batch, losses, turns = ours.batch(0, 0, 1), [], []
    for _ in range(40):
        loss, parts = ours.loss(ours.network, batch, torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        loss.backward()
        assert all(bool(w.grad.isfinite().all()) for w in ours.network.parameters() if w.grad is not None)
        optimizer.step()
        losses.append(float(loss.detach()))
        turns.append(float(parts["rotations"]))
        assert set(parts) == {"bonds", "places", "rotations", "lddt_loss"}
    # one batch with one noise: nothing but learning changes the loss
    assert losses[-1] < 0.9 * losses[0]
    assert turns[-1] < 0.97 * turns[0]


def test_batches_hold_the_frames_of_their_chains():
    batch = task(RotationFlow()).batch(3, 0, 1)
    mask = batch.condition["mask"]
    assert batch.rotation.shape == (*mask.shape, 4)
    assert torch.allclose(batch.rotation.norm(dim=-1), torch.ones(mask.shape), atol=1e-6)
    assert bool((batch.rotation[~mask][:, 0] == 1).all())


@pytest.mark.parametrize("law", LAWS, ids=NAMES)
def test_a_run_is_stored_and_read_back(law, tmp_path):
    result = train(task(law), TrainConfig(steps=2, warmup=1, checkpoint_every=2), tmp_path, progress=False)
    model = load(result.model)
    assert isinstance(model, FrameModel)
    assert model.law == law
    assert model.card["task"]["domain"] == "proteins/frames"
    assert set(result.metrics) >= {"bonds_planned", "rotations_free", "lddt_loss_planned"}
    assert model.sample(1, 30, steps=1, relax=False).chains.lengths.tolist() == [30]


def test_recipes_go_by_name(tmp_path):
    assert recipe("frames") is train_frames
    done = CliRunner().invoke(app, ["train", "--recipe", "frame", "--out", str(tmp_path)])
    assert isinstance(done.exception, UnknownNameError)
    assert "frames" in str(done.exception)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_has_the_precision_of_the_command(name):
    """A run that the command began goes on from Python, and the other way round."""
    assert signature(recipe(name)).parameters["precision"].default is Precision.BF16


def test_scaffolds_and_paths_want_torsions():
    with pytest.raises(ConfigError, match="torsions"):
        trajectory(untrained(), 24)
    assert of_torsions(torsion_cases.untrained(), "paths").name == "untrained"
