"""Hodge attention: what holds for all weights, and that no numbering of the surface is seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scidiff.errors import ConfigError, ShapeError
from scidiff.mesh import SimplicialComplex, annulus, double_torus, icosphere, torus
from scidiff.nets.hodge import HodgeAttention, HodgeConfig, HodgeOperator, HodgeStar, HodgeTransformer
from scidiff.nets.surface import HodgeMesh

SHAPES = {"torus": torus(8, 5), "sphere": icosphere(1), "annulus": annulus(2, 10), "double torus": double_torus(7, 5)}


def seeded(build, seed: int = 0):
    """Weights from one seed, float64, that need no gradient."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build().double().requires_grad_(False)


def features(mesh: HodgeMesh, width: int, seed: int = 0) -> list[torch.Tensor]:
    made = torch.Generator().manual_seed(seed)
    return [torch.randn(1, size, width, generator=made, dtype=torch.float64) for size in mesh.sizes]


def matrices(attention: HodgeAttention, h: list[torch.Tensor], mesh: HodgeMesh) -> torch.Tensor:
    """Operators of all heads as full matrices, shape ``(heads, size, size)``."""
    one = torch.eye(mesh.sizes[attention.degree], dtype=torch.float64)
    return attention(h, mesh, one[:, :, None, None].expand(-1, -1, attention.heads, 1))[..., 0].permute(2, 1, 0)


def full(star: HodgeStar, h: torch.Tensor, mesh: HodgeMesh) -> torch.Tensor:
    """Stars of all heads as full matrices."""
    near, rows = mesh.near[star.degree], star(h, mesh)[0]
    made = torch.zeros(star.heads, len(near), len(near), dtype=torch.float64)
    for head in range(star.heads):
        made[head].scatter_add_(1, near, rows[..., head])
    return made


def renumbered(
    complex: SimplicialComplex, seed: int = 1
) -> tuple[SimplicialComplex, list[np.ndarray], list[np.ndarray]]:
    """The same surface with other numbers, turned in space; place and sign of every old cell in the new one."""
    rng = np.random.default_rng(seed)
    place, turn = rng.permutation(len(complex.vertices)), np.linalg.qr(rng.standard_normal((3, 3)))[0]
    vertices = np.empty_like(complex.vertices)
    vertices[place] = complex.vertices @ turn.T
    order = rng.permutation(len(complex.triangles))
    new = SimplicialComplex.from_arrays(vertices, place[complex.triangles][order][:, [1, 2, 0]])
    number = {tuple(pair): k for k, pair in enumerate(new.edges.tolist())}
    ends = place[complex.edges]
    edge_place = np.array([number[tuple(pair)] for pair in np.sort(ends, axis=1).tolist()])
    signs = [np.ones(len(place)), np.where(ends[:, 0] < ends[:, 1], 1.0, -1.0), np.ones(len(order))]
    return new, [place, edge_place, np.argsort(order)], signs


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("degree", [0, 1])
def test_coboundaries_are_those_of_the_complex(name, degree):
    """Gathers against the integer matrices; sums of at most seven numbers of order one err by 1e-14."""
    complex = SHAPES[name]
    mesh, d = HodgeMesh.from_complex(complex), complex.coboundary(degree)
    u = np.random.default_rng(0).standard_normal((3, d.shape[1]))
    w = np.random.default_rng(1).standard_normal((3, d.shape[0]))
    assert np.abs(mesh.d(torch.from_numpy(u), degree).numpy() - (d @ u.T).T).max() < 1e-14
    assert np.abs(mesh.transpose(torch.from_numpy(w), degree).numpy() - (d.T @ w.T).T).max() < 1e-14


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("name", SHAPES)
def test_constants_are_in_the_kernel_exactly(name, symmetric):
    mesh = HodgeMesh.from_complex(SHAPES[name])
    attention = seeded(lambda: HodgeAttention(0, 8, 2, symmetric=symmetric))
    u = torch.full((1, mesh.sizes[0], 2, 3), 0.1, dtype=torch.float64)
    assert not attention(features(mesh, 8), mesh, u).any()
    assert attention(features(mesh, 8), mesh, torch.randn_like(u)).abs().max() > 1e-3


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("degree", [0, 1, 2])
def test_the_kernel_has_the_betti_number_for_random_weights(name, degree):
    """Spectrum real and not negative, as many zeros as the Betti number; round-off against a gap.

    Measured on these surfaces: zeros of size 1e-14, the least of the others 2e-3; the bound lies between.
    """
    complex = SHAPES[name]
    mesh = HodgeMesh.from_complex(complex)
    for seed in range(2):
        made = matrices(seeded(lambda: HodgeAttention(degree, 8, 2), seed), features(mesh, 8, seed), mesh)
        values = torch.linalg.eigvals(made)
        assert float(values.imag.abs().max()) < 1e-6 and float(values.real.min()) > -1e-9
        assert [int((row < 1e-8).sum()) for row in values.abs()] == [complex.betti[degree]] * 2


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_symmetric_stars_are_inner_products(degree):
    """Symmetric to round-off and positive definite; stars that are not declared symmetric are not."""
    mesh = HodgeMesh.from_complex(SHAPES["torus"])
    for seed in range(5):
        # logits of order 10, far from uniform attention
        h = 6 * features(mesh, 8, seed)[degree]
        star = full(seeded(lambda: HodgeStar(degree, 8, 2), seed), h, mesh)
        scale = star.diagonal(dim1=1, dim2=2).sqrt()
        unit = star / scale[:, :, None] / scale[:, None, :]
        assert float((unit - unit.mT).abs().max()) < 1e-12
        # entries span many orders, so positive up to the round-off of the largest eigenvalue
        assert float(torch.linalg.eigvalsh(unit).min()) > -1e-12
    mild = full(seeded(lambda: HodgeStar(degree, 8, 2)), features(mesh, 8)[degree], mesh)
    assert float(torch.linalg.eigvalsh(mild).min()) > 1e-3
    other = full(seeded(lambda: HodgeStar(degree, 8, 2, symmetric=False)), features(mesh, 8)[degree], mesh)
    assert float((other - other.mT).abs().max()) > 1e-2


def test_the_operator_is_self_adjoint_in_the_learned_product():
    """``<u, L v> = <L u, v>`` with ``<u, v> = u^T W_0^-1 v``; relative round-off of one solve."""
    mesh = HodgeMesh.from_complex(SHAPES["torus"])
    attention, h = seeded(lambda: HodgeAttention(0, 8, 2)), features(mesh, 8)
    product = torch.linalg.solve(full(attention.inverse["0"], h[0], mesh), matrices(attention, h, mesh))
    assert float((product - product.mT).abs().max()) < 1e-11 * float(product.abs().max())
    loose = seeded(lambda: HodgeAttention(0, 8, 2, symmetric=False))
    product = torch.linalg.solve(full(loose.inverse["0"], h[0], mesh), matrices(loose, h, mesh))
    assert float((product - product.mT).abs().max()) > 1e-2 * float(product.abs().max())


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("degree", [0, 1, 2])
@pytest.mark.parametrize("name", SHAPES)
def test_the_linear_map_sees_no_numbering(name, degree, symmetric):
    """Other numbers, other directions of edges, another place in space: the same cochain comes out, to round-off."""
    complex = SHAPES[name]
    other, places, signs = renumbered(complex)
    assert (signs[1] < 0).any()
    net = seeded(lambda: HodgeOperator(HodgeConfig(layers=2, width=8, heads=2, symmetric=symmetric), degree))
    u = torch.randn(2, complex.sizes[degree], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    place, sign = torch.from_numpy(places[degree]), torch.from_numpy(signs[degree])
    moved = torch.zeros_like(u)
    moved[:, place] = sign * u
    found, wanted = net(moved, HodgeMesh.from_complex(other)), net(u, HodgeMesh.from_complex(complex))
    assert float((wanted - u).abs().max()) > 1e-3
    assert float((sign * found[:, place] - wanted).abs().max()) < 1e-10 * float(wanted.abs().max())


def test_the_transformer_sees_no_numbering():
    complex = SHAPES["torus"]
    other, places, _ = renumbered(complex)
    old, new = HodgeMesh.from_complex(complex), HodgeMesh.from_complex(other)
    net = seeded(lambda: HodgeTransformer(HodgeConfig(layers=2, width=8, heads=2), 3, 2))
    f = torch.randn(2, complex.sizes[0], 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def heated(f: torch.Tensor, mesh: HodgeMesh) -> torch.Tensor:
        vertices, edges = (part.expand(2, -1, -1) for part in mesh.features[:2])
        return net(torch.cat([f, vertices], -1), edges, mesh)

    place = torch.from_numpy(places[0])
    moved = torch.zeros_like(f)
    moved[:, place] = f
    assert float((heated(moved, new)[:, place] - heated(f, old)).abs().max()) < 1e-10
    assert float(heated(f, old).std()) > 1e-2


def test_the_linear_map_is_linear_and_keeps_constants():
    """Linear to round-off, constants bit by bit, in both precisions."""
    mesh = HodgeMesh.from_complex(SHAPES["sphere"])
    net = seeded(lambda: HodgeOperator(HodgeConfig(layers=3, width=8, heads=2)))
    u, v = torch.randn(2, 4, mesh.sizes[0], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    combined = 2 * net(u, mesh) - 3 * net(v, mesh)
    assert float((net(2 * u - 3 * v, mesh) - combined).abs().max()) < 1e-11 * float(combined.abs().max())
    for dtype in (torch.float64, torch.float32):
        ones = torch.full((1, mesh.sizes[0]), 0.3, dtype=dtype)
        assert torch.equal(net.to(dtype)(ones, mesh), ones)


def test_reach_widens_the_neighbourhood():
    """After two steps a vertex of the torus, of degree six, sees nineteen vertices; rows of the star sum over them."""
    near, far = (HodgeMesh.from_complex(torus(12, 9), reach=reach) for reach in (1, 2))
    assert near.near[0].shape[1] == 7 and far.near[0].shape[1] == 19
    assert bool(far.seen[0].all()) and bool((far.own(0).sum(1) == 1).all())


@pytest.mark.parametrize("symmetric", [True, False])
def test_parameters_are_counted(symmetric):
    """One query (and key) of ``w^2 + w`` numbers and a gain of ``h w + h`` for each star."""
    w, h = 8, 2
    star = (w * w + w) * (1 if symmetric else 2) + h * w + h
    for degree, stars in ((0, 2), (1, 4), (2, 2)):
        made = HodgeAttention(degree, w, h, symmetric=symmetric)
        assert sum(p.numel() for p in made.parameters()) == stars * star


def test_gradients_reach_all_weights():
    mesh = HodgeMesh.from_complex(SHAPES["annulus"])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = HodgeOperator(HodgeConfig(layers=2, width=8, heads=2), 1).double()
    u = torch.randn(2, mesh.sizes[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    net(u, mesh).square().sum().backward()
    assert all(
        p.grad is not None and bool(torch.isfinite(p.grad).all()) and bool(p.grad.any()) for p in net.parameters()
    )


def test_wrong_input_is_refused():
    mesh = HodgeMesh.from_complex(SHAPES["annulus"])
    with pytest.raises(ConfigError, match="multiple of heads"):
        HodgeConfig(width=10, heads=4)
    with pytest.raises(ConfigError, match="degree is 3"):
        HodgeAttention(3, 8, 2)
    with pytest.raises(ConfigError, match="reach is 0"):
        HodgeMesh.from_complex(SHAPES["annulus"], reach=0)
    with pytest.raises(ShapeError, match="expected \\(batch, 70\\)"):
        HodgeOperator(HodgeConfig(width=8), 1)(torch.zeros(1, 30), mesh)
    with pytest.raises(ShapeError, match="channels"):
        HodgeAttention(0, 8, 2)(features(mesh, 8), mesh, torch.zeros(1, 30, 3, 1))
    with pytest.raises(ShapeError, match="e \\(1, 69, 2\\)"):
        HodgeTransformer(HodgeConfig(width=8), 3, 2)(torch.zeros(1, 30, 3), torch.zeros(1, 69, 2), mesh)
