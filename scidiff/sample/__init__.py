"""Sampling: one loop, plans for where in time the sites go, and rules for how they move.

Examples
--------
>>> import torch
>>> from scidiff import Noise
>>> from scidiff.denoise import GaussianMixture
>>> from scidiff.process import GaussianProcess, VPSchedule
>>> from scidiff.sample import TableRule, log_snr_grid, run, unipc
>>> from scidiff.spaces import Euclidean
>>> schedule = VPSchedule()
>>> data = GaussianMixture.gaussian(schedule, torch.tensor([3.0]), torch.tensor([0.25]))
>>> rule = TableRule(unipc(schedule, log_snr_grid(schedule, 20, floor=0.05)))
>>> process = GaussianProcess(Euclidean((1,)), schedule)
>>> end = run(data.denoiser, process, rule, rule.plan, noise=Noise.range(0, 1000), shape=(1,))
>>> int(end.calls[0]), round(float(end.x.mean()), 1), round(float(end.x.std()), 1)  # the data: 3.0 and 0.5
(20, 3.0, 0.5)
"""

from scidiff.sample.adaptive import Adaptive, AdaptiveAdams
from scidiff.sample.audit import AuditRow, audit_chain, audit_figure, audit_rules
from scidiff.sample.bands import NestedNoise, coarsen, radial_spectrum, refine
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
from scidiff.sample.entropic import entropic_grid
from scidiff.sample.exact_laws import ExactLaws
from scidiff.sample.exponential import deis, dpmpp_2m, dpmpp_2m_sde, dpmpp_3m, exponential_adams, sa_solver, unipc
from scidiff.sample.factor import FactorRule
from scidiff.sample.grids import Grid, edm_grid, log_snr_grid, uniform_grid
from scidiff.sample.inversion import Bdia, invert_bdia
from scidiff.sample.jump import Jump
from scidiff.sample.keys import Recorder, dp_keys, sensitivities
from scidiff.sample.loop import Corrector, Plan, Rule, run
from scidiff.sample.model import Evaluation, Model, Policy
from scidiff.sample.modes import ModeRule
from scidiff.sample.multiresolution import (
    CoarseSchedule,
    Level,
    MultiresolutionRun,
    multiresolution,
    retimed,
)
from scidiff.sample.parallel import ParallelRun, parareal, picard
from scidiff.sample.plans import Confidence, EntropyBounded, FirstHitting, InfoGain, MinimumEntropy, RandomOrder
from scidiff.sample.policy import DPKeys, Sensitivity, Stride
from scidiff.sample.predictor_corrector import ForwardBackward
from scidiff.sample.restart import chain, edm_churn, restart
from scidiff.sample.retracted import Retracted, RetractedBridge, RetractedHeat
from scidiff.sample.sharpen import Nucleus, Temperature
from scidiff.sample.solvers import analytic_dpm, ancestral, ddim, heun
from scidiff.sample.state import RunState, Stamp
from scidiff.sample.table import Table, TableRule
from scidiff.sample.transform import Branch, Transform
from scidiff.sample.trapezoidal import Trapezoidal
from scidiff.sample.uniformisation import Uniformisation

__all__ = [
    "Adaptive",
    "AdaptiveAdams",
    "Ancestral",
    "AuditRow",
    "Bdia",
    "Branch",
    "CoarseSchedule",
    "Confidence",
    "Corrector",
    "DPKeys",
    "EntropyBounded",
    "Evaluation",
    "ExactLaws",
    "FactorRule",
    "FirstHitting",
    "ForwardBackward",
    "Grid",
    "InfoGain",
    "Jump",
    "Level",
    "LooGibbs",
    "MinimumEntropy",
    "ModeRule",
    "Model",
    "MultiresolutionRun",
    "NestedNoise",
    "Nucleus",
    "ParallelRun",
    "Plan",
    "Policy",
    "ProjectAndNoise",
    "Psi",
    "RandomOrder",
    "RateLeaping",
    "Recorder",
    "Retracted",
    "RetractedBridge",
    "RetractedHeat",
    "Rule",
    "RunState",
    "Sensitivity",
    "SiteRule",
    "Stamp",
    "Stride",
    "Table",
    "TableRule",
    "TauLeaping",
    "Temperature",
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
    "chain",
    "coarsen",
    "ddim",
    "defog",
    "deis",
    "dp_keys",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_3m",
    "edm_churn",
    "edm_grid",
    "entropic_grid",
    "exponential_adams",
    "gat",
    "heun",
    "invert_bdia",
    "log_snr_grid",
    "multiresolution",
    "parareal",
    "picard",
    "polydec_grid",
    "radial_spectrum",
    "refine",
    "remdm_capped",
    "remdm_rescaled",
    "restart",
    "retimed",
    "run",
    "sa_solver",
    "sensitivities",
    "uniform_grid",
    "unipc",
]
