"""One file for each problem: domain, fields, equation, law of the inputs, solver, residual, check."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from scidiff.errors import ConfigError, UnknownNameError

from ..contract import Problem

__all__ = ["NAMES", "problem"]

# the solvers of some problems load scikit-fem, so that each is imported when it is asked for
NAMES: Mapping[str, str] = {
    "advection": "advection:Advection",
    "burgers": "burgers:Burgers",
    "burgers_inviscid": "burgers_inviscid:BurgersInviscid",
    "darcy": "darcy:Darcy",
    "darcy_lognormal": "darcy:DarcyLogNormal",
    "darcy_wells": "darcy:DarcyWells",
    "heat": "heat:Heat",
    "helmholtz": "poisson:Helmholtz",
    "kolmogorov": "navier_stokes:Kolmogorov",
    "mesh_elasticity": "mesh_elasticity:MeshElasticity",
    "mesh_flow": "mesh_flow:MeshFlow",
    "mesh_poisson": "mesh_poisson:MeshPoisson",
    "mesh_stokes": "mesh_stokes:MeshStokes",
    "navier_stokes": "navier_stokes:NavierStokes",
    "obstacle_flow": "obstacle_flow:ObstacleFlow",
    "poisson": "poisson:Poisson",
    "porous_medium": "closed_families:PorousMedium",
    "shallow_water": "shallow_water:ShallowWater",
    "stefan": "closed_families:Stefan",
    "stokes_second": "closed_families:StokesSecond",
}


def problem(name: str, **settings: Any) -> Problem:
    """Make a problem by name.

    Parameters
    ----------
    name
        One of `NAMES`.
    **settings
        Parameters of its class, e.g. ``size=64``.

    Raises
    ------
    UnknownNameError
        If there is no such problem.
    ConfigError
        If a setting is unknown to it.

    Examples
    --------
    >>> from scidiff.domains import pde
    >>> poisson = pde.problem("poisson", size=16)
    >>> state = poisson.truth(seed=0, count=2)
    >>> sorted(state)
    ['f', 'u']
    """
    if name not in NAMES:
        raise UnknownNameError("problem", name, NAMES)
    module, _, attribute = NAMES[name].partition(":")
    kind = getattr(import_module(f".{module}", __name__), attribute)
    unknown = sorted(set(settings) - set(kind.__dataclass_fields__))
    if unknown:
        raise ConfigError(f"problem '{name}' has no setting {unknown}; it has {sorted(kind.__dataclass_fields__)}")
    return kind(**settings)
