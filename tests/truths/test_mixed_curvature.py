"""Embeddings of metric spaces that are isometric to points of a known space: radii, invariances, comparisons.

An isometric target has loss 0. The descent ends below 1e-11, a distortion of 3e-6, and a radius moves distances in
proportion, so that 1e-3 leaves two orders for the worst conditioned radius.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scidiff.analysis.embedding import _Fit, _Problem, embed
from scidiff.analysis.geometries import compare_geometries, constant_curvature, plot_geometries
from scidiff.analysis.spectral_starts import classical_scaling
from scidiff.errors import ConfigError, DataError, ShapeError, UnknownNameError
from scidiff.random import Noise
from scidiff.spaces import Flat, Hyperbolic, Power, ProductManifold, Scaled, SPDLogEuclidean, Sphere, Torus
from scidiff.testing_targets.metrics import (
    cycle_metric,
    hyperbolic_metric,
    product_metric,
    sphere_metric,
    tree_metric,
)

TURN = 2 * math.pi


def product(*factors) -> ProductManifold:
    return ProductManifold(dict(zip("abc", factors, strict=False)))


@pytest.mark.parametrize(
    ("target", "space", "radius"),
    [
        (cycle_metric(7), Torus(1), 7 / TURN),
        (cycle_metric(8, 3.0), Sphere(1), 3 / TURN),
        (sphere_metric(12, 1.7), Sphere(2), 1.7),
        (hyperbolic_metric(12, 0.6), Hyperbolic(2), 0.6),
    ],
    ids=["torus", "circle", "sphere", "hyperbolic"],
)
def test_one_radius(target, space, radius):
    found = embed(target, space, starts=3)
    assert found.radii["space"] == pytest.approx(radius, rel=1e-3)
    assert found.average_distortion < 1e-5 and found.stress < 1e-5
    assert found.worst_distortion == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("factors", "metrics", "radii"),
    [
        ((Torus(1), Torus(1)), (cycle_metric(6), cycle_metric(5, 9.0)), (6 / TURN, 9 / TURN)),
        ((Torus(1), Torus(1)), (cycle_metric(6), cycle_metric(6)), (6 / TURN, 6 / TURN)),
        ((Sphere(2), Torus(1)), (sphere_metric(8, 1.5), cycle_metric(5)), (1.5, 5 / TURN)),
        ((Hyperbolic(2), Torus(1)), (hyperbolic_metric(7, 1.5), cycle_metric(5)), (1.5, 5 / TURN)),
        pytest.param(
            (Hyperbolic(2), Sphere(2)),
            (hyperbolic_metric(7, 1.5), sphere_metric(7)),
            (1.5, 1.0),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["two cycles", "equal cycles", "sphere and cycle", "disc and cycle", "disc and sphere"],
)
def test_products_recover_the_radii(factors, metrics, radii):
    """Both radii from the product's distances alone; like factors come in either order."""
    found = embed(product_metric(*metrics), product(*factors), starts=8)
    learned = list(found.radii.values())
    if type(factors[0]) is type(factors[1]):
        learned, radii = sorted(learned), sorted(radii)
    assert learned == pytest.approx(list(radii), rel=1e-3)
    assert found.average_distortion < 1e-5


def test_a_tree_is_not_flat():
    """The product of a tree and a cycle beats every single curvature, and its tree is curved.

    The cycle's radius is known no better than the distances are met: within twice the average distortion.
    """
    target = product_metric(tree_metric(3, 2), cycle_metric(4))
    candidates = {"H^2 x S^1": product(Hyperbolic(2), Torus(1))} | constant_curvature(3)
    comparison = compare_geometries(target, candidates, starts=5, iterations=100)
    assert comparison.best == "H^2 x S^1"
    assert comparison.gain("H^2 x S^1") > 0.5
    found = comparison.embeddings["H^2 x S^1"]
    assert found.extents["a"] > 2
    assert abs(found.radii["b"] / (4 / TURN) - 1) < 2 * found.average_distortion < 0.06


def test_scale_and_order_do_not_matter():
    """Distances in another unit give radii in that unit; points in another order give the same radii."""
    target = product_metric(cycle_metric(5), cycle_metric(4, 6.0))
    order = torch.from_numpy(np.random.default_rng(1).permutation(len(target)))
    space, truth = product(Torus(1), Torus(1)), [5 / TURN, 6 / TURN]
    for unit, metric in ((1.0, target[order][:, order]), (1e3, 1e3 * target), (1e-3, 1e-3 * target.numpy())):
        found = embed(metric, space, starts=6)
        assert sorted(found.radii.values()) == pytest.approx([unit * radius for radius in truth], rel=1e-3)


def test_the_same_seed_gives_the_same_embedding():
    target = sphere_metric(8)
    one, two = (embed(target, Hyperbolic(2), seed=3, starts=3, iterations=40) for _ in range(2))
    assert torch.equal(one.points, two.points) and one.losses == two.losses


def test_a_scaled_factor_keeps_its_radius():
    space = product(Scaled(Torus(1), math.log(2.0)), Torus(1))
    found = embed(product_metric(cycle_metric(5, 2 * TURN), cycle_metric(4)), space, starts=6)
    assert found.radii["a"] == pytest.approx(2, rel=1e-12)
    assert found.radii["b"] == pytest.approx(4 / TURN, rel=1e-3)


def test_a_euclidean_target_has_no_curvature():
    """Points of the plane: E^2 is exact, H^2 and S^2 come near by a large radius, and the flat radius is infinite.

    Curvature bends a length of ``e`` radii by ``e^2 / 24`` of itself, in the first order.
    """
    points = Noise.range(5, 9).normal((2,), step=0, stream="points")
    target = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    found = embed(target, Flat(2), starts=2)
    assert found.average_distortion < 1e-5 and found.radii == {"space": math.inf} and found.extents == {"space": 0.0}
    assert classical_scaling(target)[1][2:].abs().max() < 1e-12 * classical_scaling(target)[1][0] * 9
    for space in (Hyperbolic(2), Sphere(2)):
        near = embed(target, space, starts=2, iterations=200)
        assert near.extents["space"] < 0.5 and near.average_distortion < 0.5**2 / 24


def test_any_manifold_serves():
    """Matrices with the log-Euclidean metric are R^3 in other coordinates; they have no spectral start."""
    points = Noise.range(7, 6).normal((3,), step=0, stream="points")
    target = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    assert embed(target, SPDLogEuclidean(2), starts=4).average_distortion < 1e-4


def test_distances_are_those_of_the_space():
    """What is reported is the distance that the returned space gives between the returned points."""
    found = embed(product_metric(cycle_metric(4), tree_metric(3, 1)), product(Torus(1), Hyperbolic(2)), starts=2)
    x = {name: each[[0]] for name, each in found.points.items()}
    y = {name: each[[5]] for name, each in found.points.items()}
    assert float(found.space.dist(x, y)) == pytest.approx(float(found.distances[0, 5]), rel=1e-12)
    assert torch.equal(found.distances, found.distances.T)


def test_a_tree_is_a_tree_and_a_product_adds_squares():
    """Four-point condition on every quadruple; Pythagoras on one pair of the product."""
    tree = tree_metric(3, 2, edge=0.5)
    assert len(tree) == 10 and float(tree.max()) == 2.0
    for a, b, c, d in torch.combinations(torch.arange(10), 4).tolist():
        sums = sorted((float(tree[a, b] + tree[c, d]), float(tree[a, c] + tree[b, d]), float(tree[a, d] + tree[b, c])))
        assert sums[1] == sums[2]
    joined = product_metric(tree, cycle_metric(4))
    assert float(joined[0 * 4 + 1, 9 * 4 + 3]) == pytest.approx(math.hypot(float(tree[0, 9]), 2.0), rel=1e-15)


def test_the_table_and_the_picture():
    comparison = compare_geometries(cycle_metric(6), constant_curvature(1), starts=2)
    assert comparison.best == "S^1" and comparison.gain("E^1") < 0
    assert f"R={6 / TURN:.3g}" in comparison.table()
    figure = plot_geometries({name: comparison for name in ("one", "two", "three")})
    assert [axes.get_visible() for axes in figure.axes] == [True, True, True, False]
    with pytest.raises(UnknownNameError, match="S\\^1"):
        comparison.gain("S^2")


@pytest.mark.parametrize(
    ("target", "error"),
    [
        (torch.zeros(3, 4), ShapeError),
        (torch.zeros(2, 2), ShapeError),
        (cycle_metric(4).index_fill(0, torch.tensor([1]), math.inf), DataError),
        (cycle_metric(4).triu(), DataError),
        (cycle_metric(4) + 1, DataError),
        (torch.zeros(4, 4), DataError),
    ],
    ids=["rectangle", "two points", "infinite", "skew", "diagonal", "coincident"],
)
def test_bad_targets(target, error):
    with pytest.raises(error):
        embed(target, Torus(1))


@pytest.mark.parametrize(
    "call",
    [
        lambda: embed(cycle_metric(4), Torus(1), starts=0),
        lambda: embed(cycle_metric(4), Torus(1), iterations=0),
        lambda: embed(cycle_metric(4), Power(Torus(1), (None,))),
        lambda: embed(cycle_metric(4), Scaled(Scaled(Torus(1)))),
        lambda: compare_geometries(cycle_metric(4), {}),
        lambda: compare_geometries(cycle_metric(4), {"E^1": Flat(1), "E^2": Flat(2)}),
        lambda: constant_curvature(0),
        lambda: plot_geometries({}),
        lambda: cycle_metric(2),
        lambda: tree_metric(2, 3),
        lambda: sphere_metric(6, -1.0),
        lambda: product_metric(),
    ],
    ids=[
        "no start",
        "no iteration",
        "free axis",
        "scaled twice",
        "no candidate",
        "unequal dimensions",
        "no dimension",
        "no comparison",
        "short cycle",
        "path",
        "negative radius",
        "no metric",
    ],
)
def test_bad_parameters(call):
    with pytest.raises((ConfigError, ShapeError)):
        call()


def relocated(points: dict[str, torch.Tensor], distances: torch.Tensor) -> dict[str, torch.Tensor]:
    """Move points of flat factors one after the other, with every distance computed anew for every place."""
    points, count = {name: each.clone() for name, each in points.items()}, len(distances)

    def cost(p: int, name: str, q: int) -> float:
        places = {**points, name: points[name].index_copy(0, torch.tensor([p]), points[name][q : q + 1])}
        found = torch.cat([each for each in places.values()], 1)
        gaps = (found[p] - found).norm(dim=1) / distances[p] - 1
        return float(gaps[torch.arange(count) != p].square().sum())

    for p in range(count):
        for name in points:
            costs = [cost(p, name, q) for q in range(count)]
            q = min(range(count), key=costs.__getitem__)
            if costs[q] < 0.99 * costs[p]:
                points[name][p] = points[name][q]
    return points


@pytest.mark.parametrize("seed", range(10))
def test_moves_are_judged_by_where_the_points_are_now(seed):
    draw = np.random.default_rng(seed).standard_normal
    target = torch.from_numpy(draw((8, 4)))
    distances = (target[:, None] - target).norm(dim=-1)
    points = {name: torch.from_numpy(draw((8, 2))) for name in "ab"}
    found = _Problem.of(distances, product(Flat(2), Flat(2))).relocate(_Fit(points, {"a": 0.0, "b": 0.0})).points
    wanted = relocated(points, distances)
    assert all(torch.equal(found[name], wanted[name]) for name in points)
