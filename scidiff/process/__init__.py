"""Laws of the noise: what ``x_t`` is, given ``x_0``."""

from scidiff.process.base import Kind, Process, ProductProcess, site_time
from scidiff.process.bounds import md4, mdlm, udlm
from scidiff.process.cochain import CochainProcess
from scidiff.process.concrete_score import posterior_from_score
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.flow import MinimalFlow, MixtureFlow, Rates, TimeReversal, hub_balance, product_balance
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.kernels import Kernel, LevelKernel, marginal, mask, tree, uniform
from scidiff.process.matrix_kernel import MatrixKernel
from scidiff.process.one_hot_flow import AccuracySchedule, OneHotFlow
from scidiff.process.operator import ModeSchedule, OperatorSchedule
from scidiff.process.schedule import (
    CosineSchedule,
    EDMSchedule,
    LinearFlowSchedule,
    Schedule,
    VESchedule,
    VPSchedule,
)
from scidiff.process.score_entropy import denoising_score_entropy, log_score, score_entropy
from scidiff.process.survival import Cosine, Linear, Power, Survival
from scidiff.process.weight import EDMWeight, MinSNR, Weight, eps_weight, mean_weight, velocity_weight

__all__ = [
    "AccuracySchedule",
    "CochainProcess",
    "Cosine",
    "CosineSchedule",
    "DiscreteProcess",
    "EDMSchedule",
    "EDMWeight",
    "GaussianProcess",
    "Kernel",
    "Kind",
    "LevelKernel",
    "Linear",
    "LinearFlowSchedule",
    "MatrixKernel",
    "MinSNR",
    "MinimalFlow",
    "MixtureFlow",
    "ModeSchedule",
    "OneHotFlow",
    "OperatorSchedule",
    "Power",
    "Process",
    "ProductProcess",
    "Rates",
    "Schedule",
    "Survival",
    "TimeReversal",
    "VESchedule",
    "VPSchedule",
    "Weight",
    "denoising_score_entropy",
    "eps_weight",
    "hub_balance",
    "log_score",
    "marginal",
    "mask",
    "md4",
    "mdlm",
    "mean_weight",
    "posterior_from_score",
    "product_balance",
    "score_entropy",
    "site_time",
    "tree",
    "udlm",
    "uniform",
    "velocity_weight",
]
