"""Analysis: paths through a density, memorisation, collapse, and the audit of samplers."""

from scidiff.analysis.audit import Audit, Verdict, audit_discrete, plot_audit, tv_of_counts, tv_of_law
from scidiff.analysis.calibration import CalibrationReport, calibrate
from scidiff.analysis.collapse import (
    CoherentError,
    Collapse,
    IndependentErrors,
    coherent_divergence,
    independent_divergence,
    plot_collapse,
    recurse,
)
from scidiff.analysis.embedding import Embedding, embed
from scidiff.analysis.fields import flow_velocity, score_gradient
from scidiff.analysis.geometries import Comparison, compare_geometries, constant_curvature, plot_geometries
from scidiff.analysis.landscapes import (
    EntropicWell,
    ModeGraph,
    MullerBrown,
    WrappedMixture,
    find_modes,
    mode_graph,
    plot_modes,
)
from scidiff.analysis.membership import Auc, auc, denoising_loss, membership_auc, sima
from scidiff.analysis.memorisation import NearestRatio, NoiseRegimes, nearest_ratio, noise_regimes, plot_regimes
from scidiff.analysis.principal import Pull, Walkers, principal_curve
from scidiff.analysis.string import Curve, geodesic, minimum_energy_path, plot_curve, respace, transport
from scidiff.analysis.variance import GaussianAudit, audit_gaussian, audit_variance, table_variance

__all__ = [
    "Auc",
    "Audit",
    "CalibrationReport",
    "CoherentError",
    "Collapse",
    "Comparison",
    "Curve",
    "Embedding",
    "EntropicWell",
    "GaussianAudit",
    "IndependentErrors",
    "ModeGraph",
    "MullerBrown",
    "NearestRatio",
    "NoiseRegimes",
    "Pull",
    "Verdict",
    "Walkers",
    "WrappedMixture",
    "auc",
    "audit_discrete",
    "audit_gaussian",
    "audit_variance",
    "calibrate",
    "coherent_divergence",
    "compare_geometries",
    "constant_curvature",
    "denoising_loss",
    "embed",
    "find_modes",
    "flow_velocity",
    "geodesic",
    "independent_divergence",
    "membership_auc",
    "minimum_energy_path",
    "mode_graph",
    "nearest_ratio",
    "noise_regimes",
    "plot_audit",
    "plot_collapse",
    "plot_curve",
    "plot_geometries",
    "plot_modes",
    "plot_regimes",
    "principal_curve",
    "recurse",
    "respace",
    "score_gradient",
    "sima",
    "table_variance",
    "transport",
    "tv_of_counts",
    "tv_of_law",
]
