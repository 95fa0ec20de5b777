"""The benchmark of the core: what it claims of its samplers, spaces and meshes, against truths that are known exactly.

``scidiff bench core`` measures with an exact denoiser in the place of a network, so that the error of a row is that of
the method alone. Most rows have no Monte-Carlo error at all.
"""

from scidiff.bench.core.check import Claim
from scidiff.bench.core.suite import GROUPS, PROTOCOL, rows

__all__ = ["GROUPS", "PROTOCOL", "Claim", "rows"]
