r"""What a training run is asked to do, and its learning-rate schedule in closed form.

With peak :math:`\eta`, warm-up :math:`w`, horizon :math:`H` and floor :math:`f`, step :math:`k = 0, 1, \dots` uses

.. math::
    \eta_k = \eta \,\frac{k+1}{w} \quad (k < w), \qquad
    \eta_k = \eta \Bigl(f + (1-f)\,\tfrac12\bigl(1 + \cos \pi p_k\bigr)\Bigr), \quad
    p_k = \min\Bigl(1, \frac{k-w}{H-w}\Bigr) \quad (k \ge w).

The horizon is its own number, so that a run may be lengthened without changing a step already taken: ``steps`` may
differ on resume as long as the resolved horizon does not.

References
----------
Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", arXiv:1608.03983, eq. (5).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from scidiff.errors import ConfigError

__all__ = ["Precision", "TrainConfig"]


class Precision(Enum):
    """Arithmetic of the loss; parameters, gradients, optimizer state and average stay in float32.

    The value is Lightning Fabric's name of the precision.
    """

    FLOAT32 = "32-true"
    BF16 = "bf16-mixed"


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run.

    Parameters
    ----------
    steps
        Optimizer steps in all.
    learning_rate
        Peak of the schedule, per step.
    warmup
        Steps of the linear warm-up; 0 starts at the peak.
    floor
        Lowest learning rate as a fraction of the peak, reached at the horizon; 1 keeps the rate constant.
    horizon
        Step at which the cosine reaches its floor; ``None`` means ``steps``.
    weight_decay
        Decoupled weight decay, applied to parameters with two or more axes only.
    betas
        Decay rates of AdamW's two moments.
    ema
        Final decay of the exponential moving average of the parameters.
    clip
        Largest norm of the whole gradient; ``None`` does not clip.
    accumulate
        Micro-steps, each with its own batch, whose gradients are averaged for one optimizer step.
    precision
        Arithmetic of the loss.
    seed
        Seed of every draw made by the loss.
    checkpoint_every
        Steps between checkpoints; one is always written at the end and when the run is stopped.
    validate_every
        Steps between validations; 0 validates at the end only.
    log_every
        Steps between lines of the log; a line holds means over the steps since the line before.
    threads
        CPU threads of each process; ``None`` leaves torch's setting.
    prefetch
        Batches made ahead in a second thread; worth it when an accelerator waits for them.

    Raises
    ------
    ConfigError
        If a value lies outside its range, or the warm-up is not shorter than the horizon.

    Examples
    --------
    >>> TrainConfig(steps=100, learning_rate=1.0, warmup=4).rate(1)
    0.5
    """

    steps: int
    learning_rate: float = 1e-3
    warmup: int = 500
    floor: float = 0.01
    horizon: int | None = None
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    ema: float = 0.999
    clip: float | None = 1.0
    accumulate: int = 1
    precision: Precision = Precision.FLOAT32
    seed: int = 0
    checkpoint_every: int = 1000
    validate_every: int = 0
    log_every: int = 50
    threads: int | None = None
    prefetch: int = 0

    def __post_init__(self) -> None:
        """Check every value once."""
        object.__setattr__(self, "betas", tuple(self.betas))
        for name, least in _LEAST.items():
            value = getattr(self, name)
            optional = name in ("horizon", "threads") and value is None
            if not optional and (not isinstance(value, int) or isinstance(value, bool) or value < least):
                raise ConfigError(f"{name} is {value!r}; expected an integer >= {least}; pass such a value")
        for name, (inside, meaning) in _RANGES.items():
            value = getattr(self, name)
            if not inside(value):
                raise ConfigError(f"{name} is {value!r}; expected {meaning}; pass such a value")
        if not isinstance(self.precision, Precision):
            raise ConfigError(f"precision is {self.precision!r}; expected a Precision; pass e.g. Precision.BF16")
        if self.warmup >= self.resolved_horizon:
            raise ConfigError(
                f"warmup is {self.warmup} and the horizon {self.resolved_horizon}; expected warmup < horizon; "
                "shorten the warm-up or take more steps"
            )

    def rate(self, step: int) -> float:
        """Learning rate used by optimizer step ``step``.

        Parameters
        ----------
        step
            Steps already taken, from 0.

        Returns
        -------
        float
            The learning rate of the formula at the head of this module.
        """
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        progress = min(1.0, (step - self.warmup) / (self.resolved_horizon - self.warmup))
        return self.learning_rate * (self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(math.pi * progress)))

    @property
    def resolved_horizon(self) -> int:
        """Step at which the schedule reaches its floor."""
        return self.steps if self.horizon is None else self.horizon

    def record(self) -> dict[str, Any]:
        """Describe the settings in JSON values.

        Returns
        -------
        dict
            Field names with plain values; ``horizon`` is the resolved one.
        """
        fields = asdict(self)
        fields.update(horizon=self.resolved_horizon, betas=list(self.betas), precision=self.precision.name)
        return fields


OPERATIONAL = frozenset({"steps", "checkpoint_every", "validate_every", "log_every", "threads", "prefetch"})
"""Fields that may differ on resume, as they change no step: ``steps`` counts here only with the same horizon."""

_LEAST = {
    "steps": 1,
    "warmup": 0,
    "horizon": 1,
    "accumulate": 1,
    "seed": 0,
    "checkpoint_every": 1,
    "validate_every": 0,
    "log_every": 1,
    "threads": 1,
    "prefetch": 0,
}


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


_RANGES = {
    "learning_rate": (lambda v: _finite(v) and v > 0, "a finite number > 0"),
    "floor": (lambda v: _finite(v) and 0 <= v <= 1, "a number in [0, 1]"),
    "weight_decay": (lambda v: _finite(v) and v >= 0, "a finite number >= 0"),
    "betas": (lambda v: len(v) == 2 and all(_finite(b) and 0 <= b < 1 for b in v), "two numbers in [0, 1)"),
    "ema": (lambda v: _finite(v) and 0 <= v < 1, "a number in [0, 1)"),
    "clip": (lambda v: v is None or (_finite(v) and v > 0), "None or a finite number > 0"),
}
