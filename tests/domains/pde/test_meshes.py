"""Finite elements on triangles: orders, two pairs of elements, the cotangent Laplacian, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scidiff.domains.pde.errors import CellError, FluxError
from scidiff.domains.pde.manufactured import poisson_fem_error, stokes_error
from scidiff.domains.pde.problems.mesh_poisson import MeshPoisson, cotangent_stiffness
from scidiff.domains.pde.problems.mesh_stokes import MeshStokes
from scidiff.domains.pde.refinement import observed_orders
from scidiff.domains.pde.solvers.fem import QuadraticElliptic, grid_mesh, triangle_mesh
from scidiff.domains.pde.solvers.stokes import taylor_hood

from scidiff.errors import DataError, ShapeError
from scidiff.mesh import annulus, square


def test_quadratic_elements_have_third_order():
    assert observed_orders(poisson_fem_error, (8, 16))[0] == pytest.approx(3, abs=0.15)


def test_taylor_hood_elements_have_third_order():
    assert observed_orders(stokes_error, (6, 12))[0] == pytest.approx(3, abs=0.25)


def test_the_annulus_has_a_logarithm():
    """``-lap u = 1`` between circles: ``u = (1 - r^2) / 4 + c log r``; the polygons miss the circles by order 2."""
    errors = []
    for rings in (3, 6):
        one = MeshPoisson(annulus(rings, 12 * rings))
        nodes = one.elements.basis.doflocs
        u = one.elements.solve(np.ones(len(one.mesh.vertices)))
        r = np.linalg.norm(nodes, axis=0)
        c = -(1 - 0.25) / 4 / np.log(0.5)
        errors.append(abs(u - ((1 - r**2) / 4 + c * np.log(r))).max())
    assert errors[1] < 0.35 * errors[0] < 0.01


def test_cotangent_weights_are_linear_elements():
    import skfem
    from skfem.helpers import dot, grad

    mesh = annulus(2, 9)
    stiffness, mass = cotangent_stiffness(mesh)
    basis = skfem.Basis(triangle_mesh(mesh.vertices, mesh.triangles), skfem.ElementTriP1())
    expected = skfem.BilinearForm(lambda u, v, w: dot(grad(u), grad(v))).assemble(basis)
    np.testing.assert_allclose(stiffness.toarray(), expected.toarray(), atol=1e-13)
    assert mass.sum() == pytest.approx(mesh.areas.sum(), rel=1e-13)


def test_interpolation_to_nodes_is_that_of_linear_functions():
    one = QuadraticElliptic(grid_mesh((4, 5)))
    linear = lambda points: 2 + 3 * points[0] - points[1]  # noqa: E731
    np.testing.assert_allclose(one.linear_to_nodes @ linear(one.mesh.p), linear(one.basis.doflocs), atol=1e-13)


def test_flow_through_a_channel_is_a_parabola():
    """Quadratic velocities hold Poiseuille's flow exactly; pressure falls by 2 nu per length."""
    one = taylor_hood(grid_mesh((5, 5)), 0.5)
    y = one.velocity.doflocs[1]
    along = np.zeros(one.velocity.N, dtype=bool)
    along[np.concatenate([one.velocity.dofs.nodal_dofs[0], one.velocity.dofs.facet_dofs[0]])] = True
    exact = np.where(along, y * (1 - y), 0.0)
    u, p = one.solve(np.zeros(one.velocity.N), exact[one.rim])
    np.testing.assert_allclose(u, exact, atol=1e-13)
    np.testing.assert_allclose(p, 2 * 0.5 * (0.5 - one.mesh.p[0]), atol=1e-12)


def test_boundary_flow_has_to_balance():
    one = taylor_hood(grid_mesh((4, 4)), 1.0)
    x = one.velocity.doflocs[0]
    along = np.zeros(one.velocity.N)
    along[np.concatenate([one.velocity.dofs.nodal_dofs[0], one.velocity.dofs.facet_dofs[0]])] = 1.0
    with pytest.raises(FluxError, match="net flux of 1") as caught:
        one.solve(np.zeros(one.velocity.N), (along * x)[one.rim])
    assert caught.value.where == pytest.approx(1.0)


def test_two_holes_through_the_same_call():
    mesh = square(12, 12)
    middle = mesh.vertices[mesh.triangles].mean(1)
    hole = (abs(middle[:, 0] - 0.25) < 0.1) & (abs(middle[:, 1] - 0.5) < 0.1)
    hole |= (abs(middle[:, 0] - 0.75) < 0.1) & (abs(middle[:, 1] - 0.5) < 0.1)
    kept = mesh.triangles[~hole]
    used, corners = np.unique(kept, return_inverse=True)
    holed = type(mesh).from_arrays(mesh.vertices[used], corners.reshape(-1, 3))
    assert holed.betti == (1, 2, 0)
    one = MeshStokes(holed)
    state = one.truth(0, 1)
    assert float(one.residual(state).abs().max() / one.scale(state)) < 1e-10
    assert float(one.deviation(state)) < 0.2


def test_what_is_no_plane_triangulation_is_refused():
    points = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.2]])
    with pytest.raises(CellError, match=r"\(1, 4\)"):
        triangle_mesh(points, np.array([[0, 1, 2, 3]]))
    with pytest.raises(DataError, match="z varies"):
        triangle_mesh(points, np.array([[0, 1, 2], [0, 2, 3]]))
    with pytest.raises(ShapeError, match="no node"):
        QuadraticElliptic(grid_mesh((3, 3))).nodes(np.array([[0.1], [0.2]]))
