"""Rules and plans for continuous states: tables of coefficients, what builds them, and what runs them otherwise."""

from scidiff.sample.continuous.adaptive import Adaptive, AdaptiveAdams
from scidiff.sample.continuous.bands import NestedNoise, coarsen, radial_spectrum, refine
from scidiff.sample.continuous.exponential import (
    deis,
    dpmpp_2m,
    dpmpp_2m_sde,
    dpmpp_3m,
    exponential_adams,
    sa_solver,
    unipc,
)
from scidiff.sample.continuous.inversion import Bdia, invert_bdia
from scidiff.sample.continuous.keys import Recorder, dp_keys, sensitivities
from scidiff.sample.continuous.modes import ModeRule
from scidiff.sample.continuous.multiresolution import (
    CoarseSchedule,
    Level,
    MultiresolutionRun,
    multiresolution,
    retimed,
)
from scidiff.sample.continuous.parallel import ParallelRun, parareal, picard
from scidiff.sample.continuous.restart import chain, edm_churn, restart
from scidiff.sample.continuous.retracted import Retracted, RetractedBridge, RetractedHeat
from scidiff.sample.continuous.solvers import analytic_dpm, ancestral, ddim, heun
from scidiff.sample.continuous.table import Table, TableRule

__all__ = [
    "Adaptive",
    "AdaptiveAdams",
    "Bdia",
    "CoarseSchedule",
    "Level",
    "ModeRule",
    "MultiresolutionRun",
    "NestedNoise",
    "ParallelRun",
    "Recorder",
    "Retracted",
    "RetractedBridge",
    "RetractedHeat",
    "Table",
    "TableRule",
    "analytic_dpm",
    "ancestral",
    "chain",
    "coarsen",
    "ddim",
    "deis",
    "dp_keys",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_3m",
    "edm_churn",
    "exponential_adams",
    "heun",
    "invert_bdia",
    "multiresolution",
    "parareal",
    "picard",
    "radial_spectrum",
    "refine",
    "restart",
    "retimed",
    "sa_solver",
    "sensitivities",
    "unipc",
]
