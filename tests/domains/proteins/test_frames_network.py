from __future__ import annotations

import torch
from scidiff.domains.proteins.frames.attention import InvariantPointAttention

from scidiff.random import Noise
from scidiff.spaces.so3 import from_matrix, multiply, to_matrix

from .frame_cases import inputs, untrained
from .protein_cases import random_rotation


def attention(seed: int = 0) -> InvariantPointAttention:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return InvariantPointAttention(16, 8, 2, 3, 4)


def features(batch: int, length: int):
    noise = Noise.range(5, batch)
    h = noise.normal((length, 16), step=0, stream="test/h").float()
    p = noise.normal((length, length, 8), step=0, stream="test/p").float()
    return h, p, torch.ones(batch, length, length, dtype=torch.bool)


def test_point_attention_is_invariant_under_motions_of_all_frames():
    (x, _, _), (h, p, real), layer = inputs(2, 12), features(2, 12), attention()
    frames, motion = to_matrix(x["rotation"]), random_rotation(4).float()
    with torch.no_grad():
        want = layer(h, p, frames, x["ca"], real)
        got = layer(h, p, motion @ frames, x["ca"] @ motion.T + torch.tensor([3.0, -2.0, 5.0]), real)
        alone = layer(h, p, motion @ frames, x["ca"], real)
    # float32: about twenty operations at values of order 10
    assert float((got - want).abs().max()) < 1e-4
    assert float((alone - want).abs().max()) > 1e-3


def test_point_attention_has_finite_gradients_where_points_meet():
    h, p, real = features(1, 5)
    frames, ca = torch.eye(3).expand(1, 5, 3, 3), torch.zeros(1, 5, 3)
    layer = attention()
    torch.nn.init.zeros_(layer.points.weight)
    torch.nn.init.zeros_(layer.points.bias)
    layer(h, p, frames, ca, real).square().sum().backward()
    assert all(bool(weight.grad.isfinite().all()) for weight in layer.parameters())


def test_network_turns_with_the_frames():
    network, (x, t, condition) = untrained().network, inputs(3, 20)
    motion = random_rotation(2)
    turn = from_matrix(motion).float()
    moved = {**condition, "motif_xyz": condition["motif_xyz"] @ random_rotation(3).float().T + 7.0}
    with torch.no_grad():
        want = network(x, t, condition)
        turned = {"rotation": multiply(turn.expand_as(x["rotation"]), x["rotation"]), "ca": x["ca"] @ motion.float().T}
        got = network(turned, t, condition)
        other = network(x, t, moved)
    # rotation vectors lie in the axes of the frames, which turn along
    assert float((got["rotation"] - want["rotation"]).abs().max()) < 1e-4
    scale = max(float(want["ca"].abs().max()), 1.0)
    assert float((got["ca"] - want["ca"] @ motion.float().T).abs().max()) < 1e-4 * scale
    assert float((other["rotation"] - want["rotation"]).abs().max()) < 1e-4


def test_network_tells_frames_from_their_mirror_image():
    network, (x, t, condition) = untrained().network, inputs(2, 20)
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0]))
    # the mirror image of a right-handed frame, its third axis turned back: S R S is a rotation
    frames = from_matrix(mirror @ to_matrix(x["rotation"]) @ mirror)
    with torch.no_grad():
        want = network(x, t, condition)
        got = network({"rotation": frames, "ca": x["ca"] @ mirror}, t, condition)
    assert float((got["ca"] - want["ca"] @ mirror).abs().max()) > 1e-2


def test_padding_and_neighbours_in_the_batch_do_not_matter():
    network, (x, t, condition) = untrained().network, inputs(3, 16)
    grown = {"rotation": torch.zeros(3, 21, 4), "ca": torch.full((3, 21, 3), 5.0)}
    grown["rotation"][..., 0] = 1.0
    for name, part in x.items():
        grown[name][:, :16] = part
    told = {"mask": torch.arange(21).expand(3, -1) < 16}
    for name, part in condition.items():
        if name != "mask":
            shape = (3, *(21 if size == 16 else size for size in part.shape[1:]))
            told[name] = torch.ones(shape, dtype=part.dtype)
            told[name][(slice(None), *(slice(0, size) for size in part.shape[1:]))] = part
    told["group"][:, 16:] = 0
    time = {"rotation": t["rotation"][:, :1].expand(3, 21), "ca": t["ca"]}
    with torch.no_grad():
        want, padded = network(x, t, condition), network(grown, time, told)
        rows = [{name: part[1:2] for name, part in each.items()} for each in (x, t, condition)]
        alone = network(*rows)
    for name, part in want.items():
        assert torch.allclose(padded[name][:, :16], part, atol=1e-4)
        assert float(padded[name][:, 16:].abs().max()) == 0
        assert torch.allclose(alone[name], part[1:2], atol=1e-4)
