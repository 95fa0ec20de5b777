"""Sampling: one loop, plans for where in time the sites go, and rules for how they move."""

from scidiff.sample.exponential import deis, dpmpp_2m, dpmpp_2m_sde, dpmpp_3m, exponential_adams, sa_solver, unipc
from scidiff.sample.factor import FactorRule
from scidiff.sample.grids import Grid, edm_grid, log_snr_grid, uniform_grid
from scidiff.sample.loop import Corrector, Plan, Rule, Transform, run
from scidiff.sample.solvers import analytic_dpm, ancestral, ddim, heun
from scidiff.sample.state import RunState, Stamp
from scidiff.sample.table import Table, TableRule

__all__ = [
    "Corrector",
    "FactorRule",
    "Grid",
    "Plan",
    "Rule",
    "RunState",
    "Stamp",
    "Table",
    "TableRule",
    "Transform",
    "analytic_dpm",
    "ancestral",
    "ddim",
    "deis",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_3m",
    "edm_grid",
    "exponential_adams",
    "heun",
    "log_snr_grid",
    "run",
    "sa_solver",
    "uniform_grid",
    "unipc",
]
