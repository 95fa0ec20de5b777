"""Calibration: is a sampler's posterior the right one, and how far can its spread be trusted?

All checks take plain arrays or tensors, ``truth (count, dim)`` and ``samples (count, draws, dim)``.
"""

from scidiff.analysis.calibration.conformal import Conformal, conformal_entries, conformal_map, conformal_whole
from scidiff.analysis.calibration.coverage import (
    Coverage,
    Tarp,
    interval_coverage,
    neighbour_references,
    tarp,
    wilson,
)
from scidiff.analysis.calibration.plots import plot_ranks, plot_reliability, plot_spread_skill
from scidiff.analysis.calibration.ranks import RankTest, pit, rank_test, ranks
from scidiff.analysis.calibration.report import CalibrationReport, calibrate
from scidiff.analysis.calibration.scores import (
    ScoreGap,
    SpreadSkill,
    crps_ensemble,
    crps_gaussian,
    energy_score,
    score_gap,
    spread_skill,
)
from scidiff.analysis.calibration.two_sample import C2ST, Classifier, c2st, mlp, quadratic_logistic

__all__ = [
    "C2ST",
    "CalibrationReport",
    "Classifier",
    "Conformal",
    "Coverage",
    "RankTest",
    "ScoreGap",
    "SpreadSkill",
    "Tarp",
    "c2st",
    "calibrate",
    "conformal_entries",
    "conformal_map",
    "conformal_whole",
    "crps_ensemble",
    "crps_gaussian",
    "energy_score",
    "interval_coverage",
    "mlp",
    "neighbour_references",
    "pit",
    "plot_ranks",
    "plot_reliability",
    "plot_spread_skill",
    "quadratic_logistic",
    "rank_test",
    "ranks",
    "score_gap",
    "spread_skill",
    "tarp",
    "wilson",
]
