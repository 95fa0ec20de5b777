"""Elasticity on triangles: order, two assemblies, rigid motions, balances, and the mutations that must not pass."""

from __future__ import annotations

import numpy as np
import pytest
import skfem
from scidiff.domains.pde import certify
from scidiff.domains.pde.manufactured import elasticity_error
from scidiff.domains.pde.problems.mesh_elasticity import MeshElasticity
from scidiff.domains.pde.refinement import check_refinement, observed_orders
from scidiff.domains.pde.solvers.elasticity import QuadraticElastic, StrainTriangles
from scidiff.domains.pde.solvers.fem import grid_mesh
from skfem.helpers import ddot, div, sym_grad

from scidiff.errors import ConfigError, NumericalError
from scidiff.mesh import annulus

LAME = (2.0, 0.7)


def linear(mesh: skfem.MeshTri, lame: tuple[float, float] = LAME) -> StrainTriangles:
    return StrainTriangles(mesh.p.T, mesh.t.T, lame, np.unique(mesh.facets[:, mesh.boundary_facets()]))


def test_quadratic_elements_have_third_order():
    assert check_refinement(elasticity_error, (6, 12), 3)[-1] == pytest.approx(3, abs=0.25)


def test_a_shear_modulus_without_its_factor_two_stops_the_decay(monkeypatch):
    """``sigma = mu eps`` is the material with half the modulus: its error on the manufactured force stays."""
    wrong = lambda mesh, lame: QuadraticElastic(mesh, (lame[0], lame[1] / 2))  # noqa: E731
    monkeypatch.setattr("scidiff.domains.pde.manufactured.QuadraticElastic", wrong)
    with pytest.raises(NumericalError, match="missing mesh width"):
        check_refinement(elasticity_error, (6, 12), 3)


def test_both_assemblies_of_linear_elements_agree():
    mesh = skfem.MeshTri.init_circle(2)
    basis = skfem.Basis(mesh, skfem.ElementVector(skfem.ElementTriP1()))
    form = lambda u, v, w: 2 * LAME[1] * ddot(sym_grad(u), sym_grad(v)) + LAME[0] * div(u) * div(v)  # noqa: E731
    other = skfem.BilinearForm(form).assemble(basis).toarray()
    numbers = np.asarray(basis.dofs.nodal_dofs).ravel()
    np.testing.assert_allclose(linear(mesh).stiffness.toarray(), other[np.ix_(numbers, numbers)], atol=1e-13)


def test_rigid_motions_have_no_stress_and_uniform_strains_a_uniform_one():
    mesh = skfem.MeshTri.init_circle(2)
    one, (x, y) = linear(mesh), mesh.p
    for motion in ([np.ones_like(x), 0 * x], [0 * x, np.ones_like(x)], [-y, x]):
        assert abs(one.stiffness @ np.concatenate(motion)).max() < 1e-13
    # energy of the strain diag(1, 0): (lambda + 2 mu) times the area
    u = np.concatenate([x, 0 * x])
    area = one.mass.sum() / 2
    assert u @ one.stiffness @ u == pytest.approx((LAME[0] + 2 * LAME[1]) * area, rel=1e-13)
    # of the strain with shear 1/2: mu times the area
    u = np.concatenate([y, 0 * x])
    assert u @ one.stiffness @ u == pytest.approx(LAME[1] * area, rel=1e-13)


def test_linear_elements_have_second_order():
    """Displacement at the vertices under the force of a known solution."""

    def error(size: int) -> float:
        from scidiff.domains.pde.manufactured import _elastic_displacement, _elastic_force

        mesh = grid_mesh((size + 1, size + 1))
        u = linear(mesh).solve(_elastic_force(*mesh.p, LAME))
        return float(np.sqrt(((u - _elastic_displacement(*mesh.p)) ** 2).mean()))

    assert observed_orders(error, (8, 16))[-1] == pytest.approx(2, abs=0.2)


def test_a_symmetric_body_answers_a_turned_force_by_a_turned_displacement():
    """The annulus turned by one sector is itself: displacement of a turned force is the turned displacement."""
    one = MeshElasticity(annulus(2, 12))
    points, f = one.mesh.vertices[:, :2], one.truth(3, 1)["f"]
    angle = 2 * np.pi / 12
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = np.array([np.argmin(((points - p) ** 2).sum(1)) for p in points @ turn])
    turned = f.new_tensor(turn @ f[0].numpy()[:, moved])[None]
    u = one.solve({"f": f})["u"][0].numpy()[one.corners]
    v = one.solve({"f": turned})["u"][0].numpy()[one.corners]
    # diagonals of the cells turn with the mesh, so this holds to round-off
    np.testing.assert_allclose(v, turn @ u[:, moved], atol=1e-13)


def test_balances_see_a_wrong_displacement():
    one = MeshElasticity(annulus(2, 12))
    state = one.truth(0, 1)
    state["u"] = 1.01 * state["u"]
    found = certify(one, state, independent=False)
    assert float(found.constraints["work"]) == pytest.approx(0.01, rel=1e-6)
    assert float(found.relative) > 1e-3


def test_materials_that_collapse_are_refused():
    with pytest.raises(ConfigError, match="mu > 0"):
        MeshElasticity(lame=(1.0, 0.0))
    with pytest.raises(ConfigError, match="lambda \\+ mu"):
        MeshElasticity(lame=(-2.0, 1.0))
