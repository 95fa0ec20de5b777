from __future__ import annotations

import torch
from scidiff.domains.proteins.chains import Chains
from scidiff.domains.proteins.ideal_chains import HELIX_TORSIONS, STRAND_TORSIONS, from_degrees
from scidiff.domains.proteins.torsion.model import load
from scidiff.domains.proteins.torsion.recipe import build_task
from scidiff.domains.proteins.torsion.task import fixed_torsions

from scidiff.train import TrainConfig, train

from .torsion_cases import TINY


def toy(size: int = 6) -> Chains:
    """Helices of different lengths with a bent tail."""
    parts = [from_degrees([HELIX_TORSIONS] * (26 + k) + [STRAND_TORSIONS] * 6) for k in range(size)]
    return Chains.cat(parts)


def task():
    return build_task(toy(), toy(2), TINY, batch_size=4)


def test_a_batch_is_a_function_of_its_number():
    one, two, other = task().batch(3, 0, 1), task().batch(3, 0, 1), task().batch(4, 0, 1)
    assert torch.equal(one.ca, two.ca)
    assert torch.equal(one.condition["states"], two.condition["states"])
    assert one.ca.shape != other.ca.shape or not torch.equal(one.ca, other.ca)
    mask = one.condition["mask"]
    assert float(one.ca[~mask].abs().sum()) == 0
    assert float(one.ca.sum(1).abs().max()) < 1e-4


def test_a_motif_fixes_the_torsions_inside_it():
    group = torch.tensor([[0, 1, 1, 1, 2, 2, 0]])
    phi, psi = fixed_torsions(group)[0].unbind(-1)
    assert phi.tolist() == [False, False, True, True, False, True, False]
    assert psi.tolist() == [False, True, True, False, True, False, False]


def test_training_lowers_the_loss():
    ours = task()
    optimizer = torch.optim.Adam(ours.network.parameters(), 5e-3)
    losses = []
    for step in range(60):
        loss, parts = ours.loss(ours.network, ours.batch(step, 0, 1), torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        assert set(parts) == {"bonds", "places", "torsions", "lddt_loss"}
    # one shape is learned: the loss falls far below what its spread from batch to batch could pretend
    early, late = torch.tensor(losses[:12]), torch.tensor(losses[-12:])
    assert float(early.mean() - late.mean()) > 3 * float((early.var() / 12 + late.var() / 12).sqrt())


def test_a_run_is_stored_and_read_back(tmp_path):
    result = train(task(), TrainConfig(steps=2, warmup=1, checkpoint_every=2), tmp_path, progress=False)
    model = load(result.model)
    assert set(result.metrics) >= {"bonds_planned", "torsions_free", "lddt_loss_planned"}
    assert [str(plan) for plan in model.plans.plans] == list(model.card["task"]["plans"])
    chains = model.sample(1, 30, steps=1, relax=False).chains
    assert chains.lengths.tolist() == [30]
