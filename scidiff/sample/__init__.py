"""Sampling: one loop, plans for where in time the sites go, and rules for how they move."""

from scidiff.sample.correctors import LooGibbs
from scidiff.sample.ctmc import (
    Ancestral,
    ProjectAndNoise,
    Psi,
    SiteRule,
    TauLeaping,
    Unmask,
    remdm_capped,
    remdm_rescaled,
)
from scidiff.sample.exponential import deis, dpmpp_2m, dpmpp_2m_sde, dpmpp_3m, exponential_adams, sa_solver, unipc
from scidiff.sample.factor import FactorRule
from scidiff.sample.grids import Grid, edm_grid, log_snr_grid, uniform_grid
from scidiff.sample.loop import Corrector, Plan, Rule, Transform, run
from scidiff.sample.modes import ModeRule
from scidiff.sample.plans import Confidence, EntropyBounded, FirstHitting, InfoGain, MinimumEntropy, RandomOrder
from scidiff.sample.solvers import analytic_dpm, ancestral, ddim, heun
from scidiff.sample.state import RunState, Stamp
from scidiff.sample.table import Table, TableRule

__all__ = [
    "Ancestral",
    "Confidence",
    "Corrector",
    "EntropyBounded",
    "FactorRule",
    "FirstHitting",
    "Grid",
    "InfoGain",
    "LooGibbs",
    "MinimumEntropy",
    "ModeRule",
    "Plan",
    "ProjectAndNoise",
    "Psi",
    "RandomOrder",
    "Rule",
    "RunState",
    "SiteRule",
    "Stamp",
    "Table",
    "TableRule",
    "TauLeaping",
    "Transform",
    "Unmask",
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
    "remdm_capped",
    "remdm_rescaled",
    "run",
    "sa_solver",
    "uniform_grid",
    "unipc",
]
