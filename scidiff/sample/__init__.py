"""Sampling: one loop, plans for where in time the sites go, and rules for how they move."""

from scidiff.sample.audit import AuditRow, audit_chain, audit_figure, audit_rules
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
from scidiff.sample.discrete_flow import RateLeaping, campbell, defog, gat, polydec_grid
from scidiff.sample.exact_laws import ExactLaws
from scidiff.sample.exponential import deis, dpmpp_2m, dpmpp_2m_sde, dpmpp_3m, exponential_adams, sa_solver, unipc
from scidiff.sample.factor import FactorRule
from scidiff.sample.grids import Grid, edm_grid, log_snr_grid, uniform_grid
from scidiff.sample.loop import Corrector, Plan, Rule, run
from scidiff.sample.model import Evaluation, Model, Policy
from scidiff.sample.modes import ModeRule
from scidiff.sample.plans import Confidence, EntropyBounded, FirstHitting, InfoGain, MinimumEntropy, RandomOrder
from scidiff.sample.predictor_corrector import ForwardBackward
from scidiff.sample.retracted import Retracted, RetractedBridge, RetractedHeat
from scidiff.sample.solvers import analytic_dpm, ancestral, ddim, heun
from scidiff.sample.state import RunState, Stamp
from scidiff.sample.table import Table, TableRule
from scidiff.sample.transform import Branch, Transform
from scidiff.sample.trapezoidal import Trapezoidal
from scidiff.sample.uniformisation import Uniformisation

__all__ = [
    "Ancestral",
    "AuditRow",
    "Branch",
    "Confidence",
    "Corrector",
    "EntropyBounded",
    "Evaluation",
    "ExactLaws",
    "FactorRule",
    "FirstHitting",
    "ForwardBackward",
    "Grid",
    "InfoGain",
    "LooGibbs",
    "MinimumEntropy",
    "ModeRule",
    "Model",
    "Plan",
    "Policy",
    "ProjectAndNoise",
    "Psi",
    "RandomOrder",
    "RateLeaping",
    "Retracted",
    "RetractedBridge",
    "RetractedHeat",
    "Rule",
    "RunState",
    "SiteRule",
    "Stamp",
    "Table",
    "TableRule",
    "TauLeaping",
    "Transform",
    "Trapezoidal",
    "Uniformisation",
    "Unmask",
    "analytic_dpm",
    "ancestral",
    "audit_chain",
    "audit_figure",
    "audit_rules",
    "campbell",
    "ddim",
    "defog",
    "deis",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_3m",
    "edm_grid",
    "exponential_adams",
    "gat",
    "heun",
    "log_snr_grid",
    "polydec_grid",
    "remdm_capped",
    "remdm_rescaled",
    "run",
    "sa_solver",
    "uniform_grid",
    "unipc",
]
