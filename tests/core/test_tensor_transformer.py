"""The tensor transformer: O(3) or SO(3) as declared, smooth everywhere, no weight that nothing depends on."""

from __future__ import annotations

import pytest
import torch

from scidiff.errors import ConfigError, ShapeError
from scidiff.nets.neighbours import Edges
from scidiff.nets.tensor_transformer import TensorTransformer, TensorTransformerConfig
from scidiff.testing import check_equivariant

MASK = torch.arange(6) < torch.tensor([6, 4, 1, 5]).unsqueeze(1)
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}


def network(dtype: torch.dtype = torch.float64, **options) -> TensorTransformer:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = {"layers": 2, "widths": (16, 8, 8), **options}
        return TensorTransformer(TensorTransformerConfig(features=3, scalars=2, **config)).to(dtype)


def clouds(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x, h = torch.randn(2, 4, 6, 3, generator=generator)
    return x.to(dtype), h.to(dtype), torch.rand(4, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("cutoff", [None, 1.5])
@pytest.mark.parametrize("widths", [(16, 8), (16, 8, 8), (8, 8, 4, 4)], ids=lambda w: f"degree {len(w) - 1}")
@pytest.mark.parametrize("reflections", [True, False], ids=["O(3)", "SO(3)"])
def test_it_commutes_with_every_motion(reflections, widths, cutoff, dtype):
    """To 1e-10 in float64 and 1e-4 in float32. The check also refuses an SO(3) network that commutes with mirrors."""
    net = network(dtype, reflections=reflections, widths=widths, cutoff=cutoff)
    errors = check_equivariant(net, *clouds(dtype), mask=MASK)
    assert (errors["reflection"] <= TOLERANCE[dtype]) is reflections
    assert errors["values of padding"] == errors["more padding"] == 0


def test_a_mirror_image_is_seen_by_rotations_only():
    """Scalars of a cloud and of its mirror image: equal for O(3), apart by more than round-off for SO(3)."""
    x, h, t = clouds()
    for reflections in (True, False):
        net = network(reflections=reflections)
        gap = float((net(x, h, t).scalars - net(-x, h, t).scalars).detach().abs().max())
        assert (gap < 1e-12) if reflections else (gap > 1e-4)


@pytest.mark.parametrize("reflections", [True, False], ids=["O(3)", "SO(3)"])
def test_the_check_of_e3nn_agrees(reflections):
    """Its own motions: rotations, inversion where declared, shifts."""
    from e3nn.util.test import assert_equivariant

    net, h = network(reflections=reflections), clouds()[1][0]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        errors = assert_equivariant(
            lambda x: tuple(net(x, h, 0.3)),
            args_in=[clouds()[0][0]],
            irreps_in=["cartesian_points"],
            irreps_out=["1o", "2x0e"],
            tolerance=1e-10,
            do_parity=reflections,
        )
    finally:
        torch.set_default_dtype(before)
    assert len(errors) == 2 * (1 + reflections)


def test_features_of_high_degree_turn_by_wigner_matrices(dtype):
    """The attention, given tensors of degree 0, 1, 2, turns its output by ``D_l(R)``.

    The matrices are those with ``Y_l(R v) = D_l Y_l(v)``, solved for in float64.
    """
    from e3nn.o3 import spherical_harmonics

    net, generator = network(dtype, layers=3), torch.Generator().manual_seed(2)
    attention = net.layers[1].attention
    x = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    f = [torch.randn(5, w, 2 * l + 1, generator=generator, dtype=torch.float64) for l, w in enumerate((16, 8, 8))]
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))[0]
    turn = turn * torch.linalg.det(turn)
    y, y_turned = (spherical_harmonics([0, 1, 2], v, normalize=False) for v in (x, x @ turn.T))
    parts = zip(y.split([1, 3, 5], 1), y_turned.split([1, 3, 5], 1), strict=True)
    wigner = [torch.linalg.lstsq(a, b).solution.T for a, b in parts]
    target, source = (~torch.eye(5, dtype=torch.bool)).nonzero(as_tuple=True)
    edges = Edges(source, target)

    def attended(x, f):
        return attention([part.to(dtype) for part in f], *net._geometry(x.to(dtype), edges), edges)

    turned = attended(x @ turn.T, [part @ d.T for part, d in zip(f, wigner, strict=True)])
    for got, part, d in zip(turned, attended(x, f), wigner, strict=True):
        want = part.double() @ d.T
        assert float((got - want).detach().abs().max()) < TOLERANCE[dtype] * float(want.detach().abs().max())
        assert float(want.detach().abs().max()) > 0.01


def test_the_paths_keep_parity():
    config = TensorTransformerConfig(features=1, widths=(4, 4, 4))
    rotations = TensorTransformerConfig(features=1, widths=(4, 4, 4), reflections=False)
    assert all(sum(path) % 2 == 0 for path in config.paths(3, 3))
    assert set(rotations.paths(3, 3)) - set(config.paths(3, 3)) == {(1, 1, 1), (1, 2, 2), (2, 1, 2), (2, 2, 1)}
    assert config.paths(1, 3) == ((0, 0, 0), (0, 1, 1), (0, 2, 2))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_every_weight_counts(layers):
    """The loss has a slope along every parameter."""
    net = network(layers=layers)
    out = net(*clouds())
    (out.vectors.square().sum() + out.scalars.square().sum()).backward()
    assert not [name for name, p in net.named_parameters() if p.grad is None or not bool(p.grad.any())]


@pytest.mark.parametrize("cutoff", [None, 1.5])
def test_gradients_are_right_where_points_coincide(cutoff):
    """Analytic and numerical gradients agree with three points in one place, and a fourth at the cutoff of another."""
    net, h = network(cutoff=cutoff, reflections=False), clouds()[1][0, :5]
    x = torch.zeros(5, 3, dtype=torch.float64)
    x[3], x[4] = torch.tensor([0.6, -0.3, 0.2]), torch.tensor([1.5, 0.0, 0.0])
    assert torch.autograd.gradcheck(lambda x: net(x, h, 0.4), x.requires_grad_(), atol=1e-5)
    net.float()(x.float(), h.float(), 0.4).vectors.square().sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in net.parameters() if p.grad is not None)


def test_nothing_jumps_at_the_cutoff():
    """The last neighbour of a point fades: ``O(e^3)`` at a distance ``e`` inside of the cutoff."""
    net, h = network(cutoff=1.5), clouds()[1][0, :2]
    changes = []
    for e in (0.1, 0.01):
        outs = [net(torch.tensor([[0.0, 0, 0], [r, 0, 0]]).double(), h, 0.4).scalars for r in (1.5 - e, 1.5)]
        changes.append(float((outs[0] - outs[1]).detach().abs().max()))
    assert 0 < changes[1] < changes[0] / 800


def test_it_runs_in_mixed_precision():
    """Under bfloat16 autocast outputs are within 3 % (8 bits, some hundred terms, norms) of float32."""
    net, (x, h, t) = network(torch.float32), clouds(torch.float32)
    want = net(x, h, t, mask=MASK).vectors.detach()
    with torch.autocast("cpu", torch.bfloat16):
        got = net(x, h, t, mask=MASK)
    got.vectors.float().square().sum().backward()
    assert float((got.vectors.float() - want).detach().norm() / want.norm()) < 0.03
    assert all(bool(p.grad.isfinite().all()) for p in net.parameters() if p.grad is not None)


def test_a_point_alone_has_no_direction():
    out = network()(torch.ones(1, 3).double(), clouds()[1][0, :1], 0.5)
    assert not bool(out.vectors.any()) and bool(out.scalars.any())


@pytest.mark.parametrize(
    "bad",
    [
        {"widths": (8,)},
        {"widths": (8, 6)},
        {"layers": 0},
        {"reach": 0.0},
        {"softening": 0.0},
        {"cutoff": -1.0},
        {"time": 3},
    ],
)
def test_impossible_sizes_are_refused(bad):
    with pytest.raises(ConfigError, match="expected"):
        TensorTransformerConfig(**{"features": 3, **bad})


def test_it_lives_in_three_dimensions():
    with pytest.raises(ShapeError, match=r"\(batch, n, 3\)"):
        network()(torch.zeros(1, 2, 2).double(), torch.zeros(1, 2, 3).double(), 0.5)
