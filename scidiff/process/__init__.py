"""Laws of the noise: what ``x_t`` is, given ``x_0``."""

from scidiff.process.base import Kind, Process, ProductProcess, site_time
from scidiff.process.cochain import CochainProcess
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.kernels import Kernel, LevelKernel, marginal, mask, tree, uniform
from scidiff.process.matrix_kernel import MatrixKernel
from scidiff.process.operator import ModeSchedule, OperatorSchedule
from scidiff.process.schedule import (
    CosineSchedule,
    EDMSchedule,
    LinearFlowSchedule,
    Schedule,
    VESchedule,
    VPSchedule,
)
from scidiff.process.survival import Cosine, Linear, Power, Survival
from scidiff.process.weight import EDMWeight, MinSNR, Weight, eps_weight, mean_weight, velocity_weight

__all__ = [
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
    "ModeSchedule",
    "OperatorSchedule",
    "Power",
    "Process",
    "ProductProcess",
    "Schedule",
    "Survival",
    "VESchedule",
    "VPSchedule",
    "Weight",
    "eps_weight",
    "marginal",
    "mask",
    "mean_weight",
    "site_time",
    "tree",
    "uniform",
    "velocity_weight",
]
