"""Rules and plans for finite sets: how sites jump, which of them are unmasked next, and the exact laws that result."""

from scidiff.sample.discrete.correctors import LooGibbs
from scidiff.sample.discrete.ctmc import (
    Ancestral,
    ProjectAndNoise,
    Psi,
    SiteRule,
    TauLeaping,
    Unmask,
    remdm_capped,
    remdm_rescaled,
)
from scidiff.sample.discrete.discrete_flow import RateLeaping, campbell, defog, gat, polydec_grid
from scidiff.sample.discrete.exact_audit import AuditRow, audit_chain, audit_figure, audit_rules
from scidiff.sample.discrete.exact_laws import ExactLaws
from scidiff.sample.discrete.plans import (
    Confidence,
    EntropyBounded,
    FirstHitting,
    InfoGain,
    MinimumEntropy,
    RandomOrder,
)
from scidiff.sample.discrete.predictor_corrector import ForwardBackward
from scidiff.sample.discrete.sharpen import Nucleus, Temperature
from scidiff.sample.discrete.trapezoidal import Trapezoidal
from scidiff.sample.discrete.uniformisation import Uniformisation

__all__ = [
    "Ancestral",
    "AuditRow",
    "Confidence",
    "EntropyBounded",
    "ExactLaws",
    "FirstHitting",
    "ForwardBackward",
    "InfoGain",
    "LooGibbs",
    "MinimumEntropy",
    "Nucleus",
    "ProjectAndNoise",
    "Psi",
    "RandomOrder",
    "RateLeaping",
    "SiteRule",
    "TauLeaping",
    "Temperature",
    "Trapezoidal",
    "Uniformisation",
    "Unmask",
    "audit_chain",
    "audit_figure",
    "audit_rules",
    "campbell",
    "defog",
    "gat",
    "polydec_grid",
    "remdm_capped",
    "remdm_rescaled",
]
