"""Laws of the noise: what ``x_t`` is, given ``x_0``."""

from scidiff.process.base import Kind, Process, ProductProcess, site_time
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.schedule import (
    CosineSchedule,
    EDMSchedule,
    LinearFlowSchedule,
    Schedule,
    VESchedule,
    VPSchedule,
)
from scidiff.process.weight import EDMWeight, MinSNR, Weight, eps_weight, mean_weight, velocity_weight

__all__ = [
    "CosineSchedule",
    "EDMSchedule",
    "EDMWeight",
    "GaussianProcess",
    "Kind",
    "LinearFlowSchedule",
    "MinSNR",
    "Process",
    "ProductProcess",
    "Schedule",
    "VESchedule",
    "VPSchedule",
    "Weight",
    "eps_weight",
    "mean_weight",
    "site_time",
    "velocity_weight",
]
