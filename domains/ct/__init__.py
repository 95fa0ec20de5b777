"""Tomography: from the counts of a scan to images whose error is known.

from scidiff.domains import ct
scan = ct.simulate(ct.shepp_logan(), ct.Parallel(ct.even_angles(60), 192, 200 / 128), i0=1e5)
image = ct.METHODS["tv"](scan, ct.Grid.square(128, 200.0))
image.chi2                                  # 1: the image explains the data, and not their noise
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scidiff.domain import Domain, deferred, lazy

if TYPE_CHECKING:
    from .classical import METHODS as METHODS
    from .classical import Reconstruction as Reconstruction
    from .classical import fbp as fbp
    from .evidence import evidence as evidence
    from .geometry import Cone as Cone
    from .geometry import Fan as Fan
    from .geometry import Parallel as Parallel
    from .geometry import even_angles as even_angles
    from .grid import Grid as Grid
    from .methods import reconstruct as reconstruct
    from .methods import reconstruct_volume as reconstruct_volume
    from .phantoms import shepp_logan as shepp_logan
    from .priors import GaussianPrior as GaussianPrior
    from .priors import MixturePrior as MixturePrior
    from .priors import fit_prior as fit_prior
    from .priors import load as load
    from .scan import Scan as Scan
    from .simulation import simulate as simulate
    from .validation import validate as validate
    from .volume import Volume as Volume

__all__ = [
    "DOMAIN",
    "METHODS",
    "Cone",
    "Fan",
    "GaussianPrior",
    "Grid",
    "MixturePrior",
    "Parallel",
    "Reconstruction",
    "Scan",
    "Volume",
    "even_angles",
    "evidence",
    "fbp",
    "fit_prior",
    "load",
    "reconstruct",
    "reconstruct_volume",
    "shepp_logan",
    "simulate",
    "validate",
]

_LAZY = {
    "METHODS": "classical",
    "Cone": "geometry",
    "Fan": "geometry",
    "GaussianPrior": "priors",
    "Grid": "grid",
    "MixturePrior": "priors",
    "Parallel": "geometry",
    "Reconstruction": "classical",
    "Scan": "scan",
    "Volume": "volume",
    "even_angles": "geometry",
    "evidence": "evidence",
    "fbp": "classical",
    "fit_prior": "priors",
    "load": "priors",
    "reconstruct": "methods",
    "reconstruct_volume": "methods",
    "shepp_logan": "phantoms",
    "simulate": "simulation",
    "validate": "validation",
}

DOMAIN = Domain(
    name="ct",
    title="Computed tomography",
    home=Path(__file__).parent,
    cli="scidiff.domains.ct.cli:app",
    demo=deferred("scidiff.domains.ct.demo:demo"),
    bench_rows=deferred("scidiff.domains.ct.benchmark:rows"),
    campaign="scidiff.domains.ct.campaign:ADAPTER",
)

__getattr__ = lazy(__name__, _LAZY)
