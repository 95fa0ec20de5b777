"""The borders to other packages: their calls around models of this one, and the way back.

| package | to it | from it |
|---|---|---|
| diffusers | `to_diffusers`: ``model(sample, timestep).sample`` at integer timesteps | `from_diffusers` |
| deepinv | `to_deepinv`: ``denoiser(x, sigma)`` | `from_deepinv` |
| torch-geometric | `to_pyg`: dense graphs of any kind | `from_pyg` |
| Hugging Face hub | `push_model`: weights, card, README | `pull_model` |

None of these packages is imported here but the last two, inside of functions. Conversions are exact, up to round-off.
"""

from __future__ import annotations

from scidiff.interchange.deepinv import DeepinvDenoiser, from_deepinv, to_deepinv
from scidiff.interchange.diffusers import (
    PREDICTION_TYPES,
    DiffusersModel,
    DiffusersOutput,
    from_diffusers,
    to_diffusers,
)
from scidiff.interchange.discrete_schedule import DiscreteSchedule
from scidiff.interchange.hub import HubClient, pull_model, push_model
from scidiff.interchange.model_page import model_page
from scidiff.spaces.graphs import from_pyg, to_pyg

__all__ = [
    "DeepinvDenoiser",
    "DiffusersModel",
    "DiffusersOutput",
    "DiscreteSchedule",
    "HubClient",
    "PREDICTION_TYPES",
    "from_deepinv",
    "from_diffusers",
    "from_pyg",
    "model_page",
    "pull_model",
    "push_model",
    "to_deepinv",
    "to_diffusers",
    "to_pyg",
]
