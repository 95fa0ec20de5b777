"""Constraints of fields: operators, ranks, Jacobians, and the Gauss-Newton iteration in a metric."""

from __future__ import annotations

import pytest
import torch
from scidiff.domains.pde.constraints.base import Affine, Joint, Nonlinear
from scidiff.domains.pde.constraints.families import BurgersFamily, HeatFamily
from scidiff.domains.pde.constraints.newton import conjugate_gradients, gauss_newton, shared_schur
from scidiff.domains.pde.constraints.operators import Stack, WeightedSums, boundary, initial_slice, means, sites
from scidiff.domains.pde.errors import ConstraintError, FieldError, SensorError

from scidiff.errors import ShapeError
from scidiff.random import Noise
from scidiff.spaces.linear import MatrixOperator

EVENT = (1, 4, 5)
OPERATORS = {
    "sites": sites(EVENT, [(0, 1, 2), (0, 3, 4), (0, 0, 0)]),
    "boundary": boundary(EVENT, 1),
    "initial": initial_slice(EVENT),
    "frame means": means(EVENT, (0, 1)),
    "mass": WeightedSums(EVENT, (0, 1, 2), torch.linspace(1, 2, 5)),
    "stack": Stack([initial_slice(EVENT), means(EVENT, (0, 1))]),
}


def fields(count, event=EVENT, seed=0):
    return Noise.range(seed, count).normal(event, step=0, stream="fields")


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=list(OPERATORS))
def test_adjoints_are_adjoint(operator):
    # sums of at most 20 products of numbers of size 1
    assert operator.adjoint_defect() < 1e-14


def test_operators_take_what_they_say():
    x = fields(2)
    assert torch.equal(initial_slice(EVENT).apply(x), x[:, 0, :, 0])
    assert torch.equal(boundary(EVENT, 1).apply(x), torch.cat([x[:, 0, 0], x[:, 0, -1]], 1))
    assert torch.allclose(means(EVENT, (0, 1)).apply(x), x.mean((1, 2)), atol=1e-15)
    weights = torch.linspace(1, 2, 5, dtype=torch.float64)
    mass = WeightedSums(EVENT, (0, 1, 2), weights).apply(x)
    assert torch.allclose(mass[:, 0], (x * weights).sum((1, 2, 3)), atol=1e-14)


def test_bad_sensors_are_named():
    with pytest.raises(SensorError, match="outside") as found:
        sites(EVENT, [(0, 1, 2), (0, 4, 0)])
    assert found.value.where == [1]
    with pytest.raises(SensorError, match="another one") as found:
        sites(EVENT, [(0, 1, 2), (0, 2, 2), (0, 1, 2)])
    assert found.value.where == [2]


def test_data_that_contradict_each_other_are_refused_with_their_equations():
    operator = OPERATORS["stack"]
    x = fields(1)
    good = Affine(operator, operator.apply(x))
    report = good.rank(x)
    # the mean of the first frame follows from its values
    assert (report.size, report.rank) == (9, 8) and not report.full and len(report.dependent) == 1
    assert report.misfit < 1e-14
    good.refuse()
    wrong = operator.apply(x)
    wrong[0, 4] += 0.1
    with pytest.raises(ConstraintError, match="no solution"):
        Affine(operator, wrong).refuse()


def test_data_of_the_wrong_shape_or_with_holes_are_refused():
    with pytest.raises(ShapeError):
        Affine(OPERATORS["initial"], torch.zeros(3))
    with pytest.raises(FieldError):
        Affine(OPERATORS["initial"], torch.tensor([0.0, float("nan"), 0.0, 0.0]))
    with pytest.raises(ShapeError, match="2 fields came for 3 sets"):
        Affine(OPERATORS["initial"], torch.zeros(3, 4)).residual(fields(2))


def sphere():
    return Nonlinear(lambda x: (x**2).flatten(1).sum(1, keepdim=True) - 1, EVENT, 1)


def test_jacobians_of_functions_agree_with_differences():
    family = BurgersFamily(8)
    u, v, w = fields(2, family.event), fields(2, family.event, 1), fields(2, (7,), 2)
    constraint = Nonlinear(family.balance, family.event, 7)
    operator, step = constraint.jacobian(u), 1e-5
    difference = (constraint.residual(u + step * v) - constraint.residual(u - step * v)) / (2 * step)
    # the balance is piecewise quadratic: central differences err by round-off over the step, 1e-15 / 1e-5, alone
    assert torch.allclose(operator.apply(v), difference, atol=1e-9)
    inner = (operator.apply(v) * w).sum(1) - (v * operator.adjoint(w)).flatten(1).sum(1)
    assert float(inner.abs().max()) < 1e-13


def test_one_step_is_the_projection_of_an_affine_constraint_in_its_metric():
    """``x - C A^T (A C A^T)^-1 (A x - b)``, and all ways to solve give it."""
    noise = Noise.range(3, 6)
    root = noise.normal((6,), step=0, stream="root")
    c, matrix = root @ root.T + torch.eye(6), Noise.range(4, 2).normal((6,), step=0, stream="rows")
    b, x = torch.tensor([0.3, -1.0]), Noise.range(5, 3).normal((6,), step=0, stream="x")
    constraint = Affine(MatrixOperator(matrix), b)
    wanted = x - (x @ matrix.T - b) @ torch.linalg.solve(matrix @ c @ matrix.T, matrix @ c)
    operator = constraint.jacobian(x)

    def action(v):
        return v @ c

    for solve in (None, shared_schur(operator, action)):
        report = gauss_newton(constraint, x, action, iterations=1, solve=solve)
        assert torch.allclose(report.x, wanted, atol=1e-11)
    v = conjugate_gradients(lambda u: operator.apply(action(operator.adjoint(u))), constraint.residual(x), 10)
    assert torch.allclose(x - action(operator.adjoint(v)), wanted, atol=1e-9)


def test_the_nearest_point_of_a_sphere_lies_on_the_ray():
    x = 0.3 * fields(4) + 0.2
    wanted = x / x.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
    report = gauss_newton(sphere(), x, nearest=True, iterations=60)
    assert bool(report.converged.all()) and float(report.violation.max()) <= 1e-12
    # the gradient of the distance vanishes at rate 1: the tangential error is of the order of the residual's root
    assert torch.allclose(report.x, wanted, atol=1e-6)


def test_newton_is_quadratic_where_one_published_step_is_not_enough():
    x = fields(4)
    one, all_ = gauss_newton(sphere(), x, iterations=1), gauss_newton(sphere(), x)
    assert float(one.violation.min()) > 1e-2 and not bool(one.converged.any())
    assert float(all_.violation.max()) <= 1e-12 and int(all_.iterations.max()) <= 12


def test_a_constraint_without_a_solution_is_reported_as_not_converged():
    impossible = Nonlinear(lambda x: (x**2).flatten(1).sum(1, keepdim=True) + 1, EVENT, 1)
    report = gauss_newton(impossible, torch.cat([fields(1), torch.full((1, *EVENT), torch.nan)]))
    assert not bool(report.converged.any()) and float(report.violation[0]) >= 1
    assert bool(report.x[0].isfinite().all())


@pytest.mark.parametrize("family", [HeatFamily(12), BurgersFamily(12)], ids=["heat", "burgers"])
def test_solutions_of_a_family_obey_its_constraint(family):
    fixed, open_ = torch.tensor([0.1, 0.8]), torch.tensor([0.3, 0.9])
    constraint = family.constraint(fixed)
    # sums of 12 numbers of size 1
    assert float(constraint.violation(family.solve(fixed, open_)).max()) < 1e-13
    other = family.solve(fixed.flip(0), open_)
    assert float(constraint.violation(other).min()) > 1e-2


def test_the_conditioned_law_of_heat_is_known():
    family = HeatFamily(9)
    mean, sd = family.truth(0.25)
    x = 2 * torch.pi * torch.arange(9).double() / 9
    t = torch.linspace(0, 1, 9, dtype=torch.float64)[1:]
    wave = (x + torch.pi / 4).sin().unsqueeze(1)
    first, second = ((-t).exp() - (-5 * t).exp()) / (4 * t), ((-2 * t).exp() - (-10 * t).exp()) / (8 * t)
    # the midpoint rule on 512 nodes errs by (4 / 512)^2 / 24
    assert torch.allclose(mean[0, :, 1:], wave * first, atol=1e-5)
    assert torch.allclose(sd[0, :, 1:], wave.abs() * (second - first**2).sqrt(), atol=1e-4)


def test_polish_of_burgers_reaches_round_off_by_chords():
    family = BurgersFamily(16)
    fixed, open_ = torch.tensor([0.2, 0.6]), torch.tensor([0.4, 0.7])
    constraint, truth = family.constraint(fixed), family.solve(fixed, open_)
    x = truth + 0.01 * fields(2, family.event)
    solve = shared_schur(constraint.jacobian(truth.mean(0, keepdim=True)), family.inner)
    report = gauss_newton(constraint, x, family.inner, solve=solve, iterations=40)
    assert bool(report.converged.all()) and float(report.violation.max()) <= 1e-12
    assert isinstance(constraint, Joint) and constraint.size == 16 + 15 and not constraint.affine
