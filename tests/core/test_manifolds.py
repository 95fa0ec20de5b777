"""Manifolds: the conformance kit over every space, in both precisions, and facts of each space by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.random import Noise
from scidiff.spaces import (
    SO3,
    Euclidean,
    Flat,
    Hyperbolic,
    Manifold,
    Power,
    ProductManifold,
    Scaled,
    Simplex,
    SPDAffineInvariant,
    SPDLogEuclidean,
    Sphere,
    Torus,
    average_distortion,
    se3,
    worst_distortion,
)
from scidiff.spaces.smooth import safe_sqrt
from scidiff.spaces.so3 import from_matrix, multiply, rotate, rotation_vector, to_matrix, versor
from scidiff.testing import check_space

NOISE = Noise.range(5, 6)
COUNT = len(NOISE)


def normal(*shape: int, stream: str = "points") -> Tensor:
    return NOISE.normal(shape, step=0, stream=stream)


def matrices(size: int) -> Tensor:
    a = normal(size, size)
    return a @ a.mT + torch.eye(size, dtype=torch.float64)


def antipodes(size: int) -> tuple[Tensor, Tensor]:
    """Pairs at exactly half a turn, and 1e-9, 1e-6, 1e-3, ... from it."""
    x = Sphere(size).project(normal(size + 1))
    shift = torch.tensor([0.0, 0.0, 1e-9, 1e-6, 1e-3, 1e-1], dtype=torch.float64).unsqueeze(1)
    return x, Sphere(size).project(-x + shift * normal(size + 1, stream="shift"))


def half_turns() -> tuple[Tensor, Tensor]:
    """Rotations that differ by ``pi``, and nearly so."""
    x = SO3().project(normal(4))
    axis = Sphere(2).project(normal(3, stream="axis"))
    angle = math.pi - torch.tensor([0.0, 1e-12, -1e-9, 1e-7, -1e-4, 1e-1], dtype=torch.float64).unsqueeze(1)
    return x, SO3().exp(x, angle * axis)


def polar(size: int, radius: float) -> Tensor:
    u = Sphere(size - 1).project(normal(size))
    r = radius * torch.tensor([1e-3, 0.05, 0.3, 0.6, 0.8, 1.0], dtype=torch.float64).unsqueeze(1)
    return torch.cat((r, u), dim=1)


def rays(size: int) -> tuple[Tensor, Tensor]:
    """Points on one ray, on opposite rays, and the origin: where the polar chart is not smooth."""
    x = polar(size, 2.0)
    u = torch.cat((x[:2, 1:], -x[2:4, 1:], x[4:, 1:]))
    r = torch.tensor([0.5, 0.0, 1.0, 2.0, 0.0, 1.6], dtype=torch.float64).unsqueeze(1)
    return x, torch.cat((r, u), dim=1)


def cases() -> list[tuple]:
    circle = torch.linspace(-3, 1, COUNT, dtype=torch.float64).unsqueeze(1)
    return [
        (Flat(3), normal(3), None),
        (Torus(1), circle, (circle, circle + math.pi)),
        (Torus(4), normal(4), (normal(4), normal(4) - math.pi)),
        (Sphere(1), Sphere(1).project(normal(2)), antipodes(1)),
        (Sphere(2), Sphere(2).project(normal(3)), antipodes(2)),
        (Sphere(9), Sphere(9).project(normal(10)), antipodes(9)),
        (SO3(), SO3().project(normal(4)), half_turns()),
        (Hyperbolic(2), polar(2, 2.0), rays(2)),
        (Hyperbolic(3), polar(3, 3.0), rays(3)),
        (Hyperbolic(8), polar(8, 1e-3), None),
        (SPDLogEuclidean(3), matrices(3), None),
        (SPDAffineInvariant(3), matrices(3), None),
        (SPDAffineInvariant(1), matrices(1), None),
        (Simplex(2), Simplex(2).project(normal(2).abs()), None),
        (Simplex(5), Simplex(5).project(normal(5).clamp_min(0) + 1e-3), None),
        (Scaled(Sphere(2), math.log(3.0)), Sphere(2).project(normal(3)), antipodes(2)),
        (Scaled(Hyperbolic(2), torch.tensor(-1.0)), polar(2, 3.0), None),
        (Power(SO3(), (5,)), SO3().project(normal(5, 4)), None),
        (Power(Torus(1), (2, 3)), normal(2, 3, 1), None),
        (se3(), {"rotation": SO3().project(normal(4)), "translation": 10 * normal(3)}, None),
        (
            ProductManifold({"tree": Hyperbolic(2), "ring": Scaled(Torus(1), 0.5), "shape": SPDLogEuclidean(2)}),
            {"tree": polar(2, 1.0), "ring": circle, "shape": matrices(2)},
            None,
        ),
    ]


@pytest.mark.parametrize(("space", "points", "cut"), cases(), ids=[repr(case[0])[:30] for case in cases()])
def test_conformance(space, points, cut, dtype):
    check_space(space, points, dtype=dtype, cut=cut)


@dataclass(frozen=True)
class Ray(Manifold):
    """Positive numbers with the metric ``dx^2 / x^2``, as somebody else would write them."""

    shape = (1,)
    dim = 1

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        return x * v.exp()

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        return (y / x).log()

    def transport(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        return v

    def project_tangent(self, x: Tensor, v: Tensor) -> Tensor:
        return v

    def project(self, x: Tensor) -> Tensor:
        return x.clamp_min(torch.finfo(x.dtype).tiny)


class FlatSphere(Sphere):
    """A sphere whose exponential map is a straight step, brought back."""

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        return self.project(x + v)


class LooseSphere(Sphere):
    """A sphere that carries vectors as they are."""

    def transport(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        return v


class ArcCosineSphere(Sphere):
    """A sphere that takes the distance from an arc cosine."""

    def dist(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.acos((x * y).sum(-1).clamp(-1, 1))


class WideSphere(Sphere):
    """A sphere with noise in all directions."""

    def random_tangent(self, x: Tensor, noise, *, step: int, stream: str) -> Tensor:
        return super().random_tangent(x, noise, step=step, stream=stream) * 1.2


def test_the_kit_takes_other_peoples_spaces(dtype):
    check_space(Ray(), normal(1).exp(), dtype=dtype)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (FlatSphere, "exp"),
        (LooseSphere, "transport"),
        (ArcCosineSphere, "dist"),
        (WideSphere, "dim = 2"),
    ],
)
def test_the_kit_finds_what_is_wrong(wrong, says):
    with pytest.raises(AssertionError, match=says):
        check_space(wrong(2), Sphere(2).project(normal(3)))


def test_the_kit_wants_three_points():
    with pytest.raises(AssertionError, match="at least 3"):
        check_space(Flat(2), normal(2)[:2])


@pytest.mark.parametrize("space", [case[0] for case in cases() if case[0].dim], ids=lambda space: repr(space)[:30])
def test_uniform_draws_are_points_or_refused(space):
    """Compact spaces draw points that `project` leaves alone; open ones say that they have no uniform law."""
    factors = space.factors.values() if isinstance(space, ProductManifold) else [space]
    for factor in factors:
        if "Flat" in repr(factor) or "Hyperbolic" in repr(factor) or "SPD" in repr(factor):
            with pytest.raises(ConfigError, match="no uniform law"):
                factor.uniform(NOISE, factor.shape, step=0, stream="u")
        else:
            drawn = factor.uniform(NOISE, factor.shape, step=0, stream="u")
            factor.check(drawn)
            assert torch.allclose(factor.project(drawn), drawn, atol=1e-15)


@pytest.mark.parametrize(("space", "moment"), [(Sphere(2), 1 / 3), (SO3(), 1 / 4), (Simplex(4), 1 / 4)])
def test_uniform_second_moments(space, moment):
    """Every squared coordinate has mean 1/(n+1) within five standard errors; its variance is below the mean."""
    count = 20000
    x = space.uniform(Noise.range(1, count), space.shape, step=0, stream="u")
    assert float((x.square().mean(0) - moment).abs().max()) < 5 * math.sqrt(moment / count)


def test_torus_angles_stay_exact_and_wrap():
    torus = Torus(2)
    x = torch.tensor([[3.0, -3.0], [1e-7, 0.5]])
    assert torch.equal(torus.project(x), x)
    assert torch.equal(torus.project(torch.full((1, 2), math.pi)), torch.full((1, 2), -math.pi))
    y = torch.tensor([[-3.0, 3.0]], dtype=torch.float64)
    assert torch.allclose(torus.log(x[:1].double(), y), torch.tensor([[2 * math.pi - 6, 6 - 2 * math.pi]]).double())


def test_sphere_tie_rule_is_a_half_turn():
    """At exact antipodes log has length pi and exp arrives; the axis least along x is taken."""
    x = torch.eye(3, dtype=torch.float64)
    v = Sphere(2).log(x, -x)
    assert torch.allclose(v.norm(dim=1), torch.full((3,), math.pi, dtype=torch.float64), atol=1e-14)
    assert torch.allclose(Sphere(2).exp(x, v), -x, atol=8 * 2.2e-16)
    assert v[0].argmax() == 1 and v[1].argmax() == 0


def test_close_points_of_a_sphere_keep_their_digits():
    """Points 1e-9 apart: an arc cosine would return 0; here the relative error is round-off over the coordinates."""
    for shift in (1e-9, 1e-6, 1e-3):
        x = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
        y = torch.tensor([[math.cos(shift), math.sin(shift), 0.0]], dtype=torch.float64)
        assert float(Sphere(2).dist(x, y)) == pytest.approx(shift, rel=1e-13)
        assert float(Sphere(2).log(x, y).norm()) == pytest.approx(shift, rel=1e-13)


def test_quaternions_and_matrices_are_one_group():
    p, q = SO3().project(normal(4)), SO3().project(normal(4, stream="q"))
    v = normal(3, stream="v")
    assert torch.allclose(to_matrix(multiply(p, q)), to_matrix(p) @ to_matrix(q), atol=1e-14)
    assert torch.allclose(to_matrix(q) @ v.unsqueeze(-1), rotate(q, v).unsqueeze(-1), atol=1e-14)
    assert torch.allclose(from_matrix(to_matrix(q)), q, atol=1e-14)
    angle = ((torch.einsum("nii->n", to_matrix(p).mT @ to_matrix(q)) - 1) / 2).acos()
    assert torch.allclose(SO3().dist(p, q), angle, atol=1e-12)


def test_versors_are_matrix_exponentials(dtype):
    """Against the matrix exponential of the cross product, from tiny angles to half a turn."""
    axis = Sphere(2).project(normal(3, stream="v"))
    v = (axis * torch.tensor([1e-8, 1e-3, 0.09, 1.0, 3.0, math.pi]).double().unsqueeze(1)).to(dtype)
    cross = torch.linalg.cross(v.unsqueeze(1), torch.eye(3, dtype=dtype).expand(6, 3, 3), dim=-1).mT
    eps = torch.finfo(dtype).eps
    assert torch.allclose(to_matrix(versor(v)), torch.matrix_exp(cross), rtol=0, atol=50 * eps)
    assert torch.allclose(rotation_vector(versor(v))[:-1], v[:-1], rtol=20 * eps, atol=0)


def test_matrices_of_half_turns_give_their_quaternions():
    """All four branches of the conversion, at traces of -1."""
    q = torch.cat((torch.eye(4, dtype=torch.float64), half_turns()[1]))
    assert torch.allclose(from_matrix(to_matrix(q)), SO3().project(q), atol=1e-14)


def test_a_hundred_thousand_rotations_take_a_third_of_a_second():
    """Processor time of exp and log in float64, best of three."""
    import time

    many = Noise.range(0, 100_000)
    x, v = SO3().uniform(many, (4,), step=0, stream="x"), many.normal((3,), step=0, stream="v")
    seconds = []
    for _ in range(3):
        start = time.process_time()
        SO3().log(x, SO3().exp(x, v))
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.3


def test_affine_invariance():
    """The affine-invariant distance does not change under congruence; the log-Euclidean one does."""
    x, y, a = matrices(3), matrices(3).roll(1, 0), normal(3, 3, stream="a")
    moved = [a @ s @ a.mT for s in (x, y)]
    space = SPDAffineInvariant(3)
    assert torch.allclose(space.dist(*moved), space.dist(x, y), rtol=1e-9)
    assert not torch.allclose(SPDLogEuclidean(3).dist(*moved), SPDLogEuclidean(3).dist(x, y), rtol=1e-3)


def test_metrics_of_commuting_matrices_agree():
    x, y = (torch.diag_embed(s.exp()) for s in (normal(3), normal(3, stream="y")))
    flat = (normal(3) - normal(3, stream="y")).norm(dim=1)
    assert torch.allclose(SPDAffineInvariant(3).dist(x, y), flat)
    assert torch.allclose(SPDLogEuclidean(3).dist(x, y), flat)


def test_projection_onto_positive_matrices():
    space = SPDLogEuclidean(3)
    bad = torch.diag(torch.tensor([1.0, 0.0, -2.0], dtype=torch.float64)).unsqueeze(0)
    good = space.project(bad)
    assert bool((torch.linalg.eigvalsh(good) > 0).all())
    assert torch.allclose(good[0].diagonal(), torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64), atol=1e-12)
    assert torch.allclose(space.project(good), good, atol=1e-15)


def test_fisher_rao_distance_of_two_coins():
    """Between Bernoulli laws the distance is ``2 |asin sqrt p - asin sqrt q|``."""
    space, p, q = Simplex(2), torch.tensor([0.1, 0.5, 0.0]).double(), torch.tensor([0.4, 1.0, 1.0]).double()
    x, y = (space.from_probs(torch.stack((s, 1 - s), dim=1)) for s in (p, q))
    assert torch.allclose(space.dist(x, y), 2 * (p.sqrt().asin() - q.sqrt().asin()).abs())
    assert torch.allclose(space.to_probs(x)[:, 0], p)
    assert bool((space.exp(x, 3 * space.log(x, y)) >= 0).all())


def test_scale_is_a_radius():
    """A great circle of a sphere of radius R is 2 pi R long, and the scale gets a gradient."""
    log_scale = torch.tensor(math.log(2.5), dtype=torch.float64, requires_grad=True)
    space = Scaled(Sphere(2), log_scale)
    x = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    y = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)
    space.dist(x, y).sum().backward()
    assert float(space.dist(x, y).detach()) == pytest.approx(2.5 * math.pi / 2)
    assert float(log_scale.grad) == pytest.approx(2.5 * math.pi / 2)


def test_a_cycle_finds_its_circumference():
    """The circle that holds a cycle of length 9 without distortion has radius 9 / 2 pi; a line does far worse."""
    count = 9
    i, j = torch.triu_indices(count, count, 1)
    hops = torch.minimum((i - j).abs(), count - (i - j).abs()).double()
    log_scale = torch.zeros((), dtype=torch.float64, requires_grad=True)
    space = Scaled(Torus(1), log_scale)
    x = 0.3 * Noise.range(2, count).normal((1,), step=0, stream="x") + torch.arange(count).unsqueeze(1) * 0.6
    x.requires_grad_()
    optimiser = torch.optim.LBFGS([x, log_scale], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = ((space.dist(x[i], x[j]) / hops) ** 2 - 1).square().mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    reached = space.dist(x[i], x[j]).detach()
    assert float(space.scale.detach()) == pytest.approx(count / (2 * math.pi), rel=1e-4)
    assert float(average_distortion(reached, hops)) < 1e-4
    assert float(worst_distortion(reached, hops)) < 1 + 1e-3
    line = torch.arange(count).double()
    assert float(average_distortion((line[i] - line[j]).abs(), hops)) > 0.1


def test_distortion_wants_pairs():
    with pytest.raises(ShapeError, match="leave the pairs"):
        average_distortion(torch.ones(3), torch.tensor([1.0, 0.0, 2.0]))


def test_power_and_product_add_squares():
    space, x, y = Power(SO3(), (None,)), SO3().project(normal(5, 4)), SO3().project(normal(5, 4, stream="y"))
    assert torch.allclose(space.dist(x, y) ** 2, SO3().dist(x, y).square().sum(1))
    assert Power(SO3(), (5,)).dim == 15 and se3().dim == 6
    rigid = {"rotation": x[:, 0], "translation": normal(3)}
    moved = {"rotation": y[:, 0], "translation": normal(3, stream="t")}
    squares = SO3().dist(x[:, 0], y[:, 0]) ** 2 + (rigid["translation"] - moved["translation"]).square().sum(1)
    assert torch.allclose(se3().dist(rigid, moved) ** 2, squares)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Flat(0),
        lambda: Torus(0),
        lambda: Sphere(0),
        lambda: Hyperbolic(1),
        lambda: SPDLogEuclidean(0),
        lambda: Simplex(1),
        lambda: Power(SO3(), (None,)).dim,
        lambda: ProductManifold({"x": Euclidean((3,))}),
        lambda: Scaled(Sphere(2), torch.zeros(2)),
        lambda: Sphere(2).check(torch.zeros(3)),
        lambda: Sphere(2).check(torch.zeros(4, 2)),
        lambda: Sphere(2).check(torch.zeros(4, 3, dtype=torch.int64)),
        lambda: Power(Torus(1), (3,)).check(torch.zeros(4, 2, 1)),
    ],
)
def test_what_is_refused(wrong):
    with pytest.raises((ConfigError, ShapeError), match=r"expected|free axis|Flat|manifold"):
        wrong()


def test_the_safe_root_hides_nothing() -> None:
    """Zero gradient at zero; a point that is not a number has no distance 0 to anything."""
    q = torch.tensor([0.0, -1e-20, 4.0], dtype=torch.float64, requires_grad=True)
    root = safe_sqrt(q)
    root.sum().backward()
    assert root.tolist() == [0.0, 0.0, 2.0]
    assert q.grad is not None
    assert q.grad.tolist() == [0.0, 0.0, 0.25]
    assert bool(safe_sqrt(torch.tensor(float("nan"))).isnan())
    assert bool(Flat(2).dist(torch.full((1, 2), float("nan")), torch.zeros(1, 2)).isnan().all())
