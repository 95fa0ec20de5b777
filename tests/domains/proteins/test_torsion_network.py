from __future__ import annotations

import math

import pytest
import torch
from scidiff.domains.proteins.torsion.geometry_features import chain_frames, pair_geometry
from scidiff.domains.proteins.torsion.process import Polymer, polymer, whiten

from scidiff.random import Noise

from .protein_cases import random_rotation
from .torsion_cases import inputs, untrained


def test_prior_has_the_steps_and_the_size_of_chains():
    x = Polymer()(Noise.range(0, 4000), (64, 3), step=0, stream="test") * 10
    steps = (x[:, 1:] - x[:, :-1]).square().sum(-1)
    # mean square 3.8^2 by construction; 4000 chains of 63 nearly independent steps, 6 standard errors
    error = 6 * float(steps.std()) / steps.numel() ** 0.5
    assert float(steps.mean()) == pytest.approx(3.8**2, abs=error)
    radius = float(x.square().sum(-1).mean().sqrt())
    assert radius == pytest.approx(2.2 * 64**0.38, rel=0.1)
    assert float(x.mean(1).abs().max()) < 1e-12


def test_whitening_undoes_the_polymer():
    z = Noise.range(1, 3).normal((40, 3), step=0, stream="test")
    assert torch.allclose(whiten(polymer(z)), z[:, 1:], atol=1e-11)


def test_chain_frames_are_proper_rotations_and_turn_with_the_chain():
    ca = Noise.range(2, 3).normal((12, 3), step=0, stream="test") * 4
    mask = torch.ones(3, 12, dtype=torch.bool)
    mask[1, 9:] = False
    frames, rotation = chain_frames(ca, mask), random_rotation(1)
    # unit vectors are formed with 1e-6 under the root, lengths are of order 1
    unit = frames.transpose(-1, -2) @ frames
    assert torch.allclose(unit[mask], torch.eye(3, dtype=ca.dtype).expand(int(mask.sum()), 3, 3), atol=1e-4)
    assert float((torch.linalg.det(frames)[mask] - 1).abs().max()) < 1e-4
    turned = chain_frames(ca @ rotation.T.to(ca) + 5.0, mask)
    assert torch.allclose(turned[mask], (rotation.to(ca) @ frames)[mask], atol=1e-9)
    padded = chain_frames(torch.where(mask.unsqueeze(-1), ca, 99.0), mask)
    assert torch.equal(padded[mask], frames[mask])


def test_directions_change_under_reflection_and_distances_do_not():
    ca = Noise.range(3, 1).normal((10, 3), step=0, stream="test") * 4
    mask = torch.ones(1, 10, dtype=torch.bool)
    flipped = ca * torch.tensor([1.0, 1.0, -1.0])
    one, two = (pair_geometry(x, chain_frames(x, mask))[0] for x in (ca, flipped))
    assert torch.allclose(one[..., :16], two[..., :16], atol=1e-9)
    assert float((one[..., 16:] - two[..., 16:]).abs().max()) > 0.1


@pytest.mark.parametrize("size", [1, 4])
def test_network_turns_with_the_chain(size):
    network, (x, t, condition) = untrained().network, inputs(size, 20)
    rotation = random_rotation(2).float()
    with torch.no_grad():
        want = network(x, t, condition)
        got = network({**x, "ca": x["ca"] @ rotation.T}, t, condition)
        moved = dict(condition)
        moved["motif_xyz"] = condition["motif_xyz"] @ random_rotation(3).float().T + 7.0
        other = network(x, t, moved)
    scale = float(want["ca"].abs().max())
    assert float((got["ca"] - want["ca"] @ rotation.T).abs().max()) < 1e-4 * max(scale, 1.0)
    assert float((got["torsion"] - want["torsion"]).abs().max()) < 1e-4
    assert float((other["torsion"] - want["torsion"]).abs().max()) < 1e-4


def test_network_tells_a_chain_from_its_mirror_image():
    network, (x, t, condition) = untrained().network, inputs(2, 20)
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0]))
    with torch.no_grad():
        want, got = network(x, t, condition), network({**x, "ca": x["ca"] @ mirror}, t, condition)
    assert float((got["ca"] - want["ca"] @ mirror).abs().max()) > 1e-2


def test_padding_and_neighbours_in_the_batch_do_not_matter():
    network, (x, t, condition) = untrained().network, inputs(3, 16)
    with torch.no_grad():
        want = network(x, t, condition)
        grown = {"torsion": torch.full((3, 21, 2, 1), 2.0), "ca": torch.full((3, 21, 3), 5.0)}
        for name, part in x.items():
            grown[name][:, :16] = part
        mask = torch.arange(21).expand(3, -1) < 16
        told = {"mask": mask}
        for name, part in condition.items():
            if name != "mask":
                shape = (3, *(21 if size == 16 else size for size in part.shape[1:]))
                told[name] = torch.ones(shape, dtype=part.dtype)
                told[name][(slice(None), *(slice(0, size) for size in part.shape[1:]))] = part
        told["group"][:, 16:] = 0
        time = {"torsion": t["torsion"][:, :1].expand(3, 21, 2), "ca": t["ca"]}
        padded = network(grown, time, told)
        alone = network(
            {name: part[1:2] for name, part in x.items()},
            {name: part[1:2] for name, part in t.items()},
            {name: part[1:2] for name, part in condition.items()},
        )
    for name, part in want.items():
        assert torch.allclose(padded[name][:, :16], part, atol=1e-4)
        assert float(padded[name][:, 16:].abs().max()) == 0
        assert torch.allclose(alone[name], part[1:2], atol=1e-4)


def test_the_predicted_cloud_is_centred_and_clean_torsions_get_no_tangent():
    network, (x, t, condition) = untrained().network, inputs(2, 18)
    t["torsion"] = t["torsion"].clone()
    t["torsion"][:, 4:9] = 0
    with torch.no_grad():
        out = network(x, t, condition)
    assert float((out["ca"] + x["ca"]).mean(1).abs().max()) < 1e-5
    assert float(out["torsion"][:, 4:9].abs().max()) == 0
    assert float(out["torsion"].abs().max()) < 20 * math.pi
