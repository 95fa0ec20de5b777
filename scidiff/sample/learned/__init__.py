"""Learned integrators: solvers of few calls, fitted to the ends that a fine solver reaches."""

from scidiff.sample.learned.artefact import Fingerprint, FingerprintError, LearnedTable, model_hash
from scidiff.sample.learned.dynamic import ProgrammedGrid, fit_grid_dp
from scidiff.sample.learned.fit import Settings, fit_grid, fit_jointly, fit_table, learn
from scidiff.sample.learned.manifold import fit_rule_grid
from scidiff.sample.learned.result import Fit, TableFit, row_sums
from scidiff.sample.learned.teacher import Pairs, teach, teach_flow

__all__ = [
    "Fingerprint",
    "FingerprintError",
    "Fit",
    "LearnedTable",
    "Pairs",
    "ProgrammedGrid",
    "Settings",
    "TableFit",
    "fit_grid",
    "fit_grid_dp",
    "fit_jointly",
    "fit_rule_grid",
    "fit_table",
    "learn",
    "model_hash",
    "row_sums",
    "teach",
    "teach_flow",
]
