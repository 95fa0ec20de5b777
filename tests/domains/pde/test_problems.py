"""Every problem: units, residual of the truth, its derivatives, conserved quantities, the independent method."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scidiff.domains.pde import certify, problem
from scidiff.domains.pde.contract import Problem
from scidiff.domains.pde.errors import DimensionError, FieldError
from scidiff.domains.pde.evolution import Evolution
from scidiff.domains.pde.flows import FlowLaw
from scidiff.domains.pde.plot import picture
from scidiff.domains.pde.problems import NAMES
from scidiff.domains.pde.units import ONE, Term, Unit, check_dimensions

from scidiff.errors import ConfigError, ShapeError, UnknownNameError
from scidiff.mesh import annulus

# small grids; the stated errors are those of the standard ones, hence the factor h^2, or h at jumps
SMALL: dict[str, tuple[dict, float]] = {
    "advection": ({"size": 32, "frames": 12}, 1),
    "burgers": ({"frames": 17, "substeps": 16}, 1),
    "burgers_inviscid": ({"size": 61}, 1.7),
    "darcy": ({"size": 16}, 8),
    "darcy_lognormal": ({"size": 16}, 64),
    "darcy_wells": ({"size": 16}, 8),
    "heat": ({"size": 24, "frames": 8}, 1),
    "helmholtz": ({"size": 24}, 28),
    "kolmogorov": ({"size": 20, "frames": 4, "duration": 0.3}, 1),
    "mesh_elasticity": ({"mesh": annulus(3, 24)}, 4),
    "mesh_flow": ({"mesh": annulus(3, 24)}, 4),
    "mesh_poisson": ({"mesh": annulus(3, 24)}, 4),
    "mesh_stokes": ({"mesh": annulus(3, 24)}, 4),
    "navier_stokes": ({"size": 16, "frames": 4, "duration": 0.3}, 1),
    "obstacle_flow": ({"law": FlowLaw(shape=(16, 16), viscosity=0.02, times=(0.2,))}, 4),
    "poisson": ({"size": 24}, 28),
    "porous_medium": ({"size": 25, "frames": 26}, 2),
    "shallow_water": ({"size": 20, "frames": 4, "duration": 0.5}, 3.2),
    "stefan": ({"size": 25, "frames": 26}, 3),
    "stokes_second": ({"size": 25, "frames": 26}, 16),
}


@pytest.fixture(params=sorted(SMALL), scope="module")
def case(request: pytest.FixtureRequest) -> tuple[Problem, dict[str, torch.Tensor], float]:
    settings, factor = SMALL[request.param]
    one = problem(request.param, **settings)
    return one, one.truth(0, 2), factor


def test_all_problems_are_here():
    assert set(SMALL) == set(NAMES)


def test_the_terms_have_one_unit(case):
    one, _, _ = case
    assert isinstance(one.residual_unit, Unit)
    # a factor of a length more in one term is found
    first, *rest = one.terms
    wrong = (replace(first, space=first.space + 1), *rest)
    with pytest.raises(DimensionError, match=r"missing"):
        check_dimensions(wrong, one.units)


def test_the_truth_solves_its_equation(case):
    """Round-off of second differences is eps / h^2 of the values; 1e-10 leaves two orders for the worst grid."""
    one, state, factor = case
    found = certify(one, state)
    assert float(found.relative.max()) < 1e-10
    assert all(float(defect.max()) < 1e-10 for defect in found.constraints.values())
    assert 0 <= float(found.independent.max()) < factor * one.truth_error
    assert len(found) == 2


def test_a_wrong_field_is_seen(case):
    """A change of one entry by one per cent raises the residual far above 1e-10."""
    one, state, _ = case
    for name in one.solved:
        inside = state[name].abs() > 0.3 * state[name].abs().max()
        where = tuple(int(i) for i in torch.nonzero(inside)[len(torch.nonzero(inside)) // 2])
        changed = {**state, name: state[name].clone()}
        changed[name][where] *= 1.01
        assert float(certify(one, changed, independent=False).relative[where[0]]) > 1e-6


def test_the_independent_solution_is_seen_by_our_operator(case):
    one, state, _ = case
    if not isinstance(one, Evolution) or one.order == 1:
        return
    other = one.reference({name: state[name] for name in one.given})
    assert float(certify(one, other, independent=False).relative.max()) < max(10 * one.truth_error, 1e-11)


def test_derivatives_of_the_residual_are_adjoint_and_right(case):
    """``<c, dR t> = <dR^T c, t>``, and dR is the limit of differences: their error is of second order in the step."""
    one, state, _ = case
    names = one.solved
    generator = torch.Generator().manual_seed(0)
    draw = lambda like: torch.randn(like.shape, generator=generator, dtype=torch.float64)  # noqa: E731
    tangent = {name: draw(state[name]) for name in names}
    forward = one.jvp(state, tangent)
    cotangent = draw(forward)
    back = one.vjp(state, cotangent, names)
    left = float((cotangent * forward).sum())
    right = sum(float((back[name] * tangent[name]).sum()) for name in names)
    assert left == pytest.approx(right, rel=1e-9, abs=1e-9 * float(forward.norm() * cotangent.norm()))
    step = 1e-6
    moved = lambda by: {**state, **{name: state[name] + by * tangent[name] for name in names}}  # noqa: E731
    difference = (one.residual(moved(step)) - one.residual(moved(-step))) / (2 * step)
    if one.order != 1:  # the flux of Godunov has kinks
        assert float((difference - forward).norm() / forward.norm()) < 1e-5


def test_samples_do_not_depend_on_the_batch(case):
    one, state, _ = case
    alone = one.truth(0, 1)
    for name, value in alone.items():
        torch.testing.assert_close(value[0], state[name][0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["burgers", "darcy", "mesh_stokes"])
def test_the_picture_is_a_picture(name):
    one = problem(name, **SMALL[name][0])
    assert picture(one, one.truth(0, 1)).startswith(b"\x89PNG")


def test_bad_states_are_refused(case):
    one, state, _ = case
    name = one.solved[0]
    broken = {**state, name: state[name].clone()}
    broken[name].view(-1)[3] = float("nan")
    with pytest.raises(FieldError, match=name):
        certify(one, broken)
    with pytest.raises(ShapeError, match="expected also"):
        certify(one, {key: value for key, value in state.items() if key != name})


def test_units_multiply():
    speed = Unit(length=1, time=-1)
    assert speed**2 / Unit(length=1) == Unit(length=1, time=-2)
    assert str(speed) == "m s^-1" and str(ONE) == "1"
    assert Term("nu lap u", {"nu": 1, "u": 1}, space=2).unit({"nu": Unit(length=2, time=-1), "u": speed}) == Unit(1, -2)


def test_problems_by_name():
    with pytest.raises(UnknownNameError, match="darcy"):
        problem("darci")
    with pytest.raises(ConfigError, match="colour"):
        problem("darcy", colour=3)
