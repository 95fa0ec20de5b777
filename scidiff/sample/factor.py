"""One rule per factor of a product: each sees its own part of the run and nothing of the others.

The factors meet in the network, which sees all of them; the moves are made apart. Noise streams of a factor end with
its name, so that equal rules of two factors draw apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scidiff.errors import ConfigError
from scidiff.process.base import ProductProcess
from scidiff.sample.grids import Grid
from scidiff.sample.loop import Rule
from scidiff.sample.state import RunState
from scidiff.spaces import State

__all__ = ["FactorRule"]


@dataclass(frozen=True)
class FactorRule:
    """Rule of a product process, made of the rules of its factors.

    Parameters
    ----------
    rules
        Rule of each factor, by name.
    """

    rules: Mapping[str, Rule]

    @property
    def memory(self) -> int:
        """Longest memory of the rules."""
        return max(rule.memory for rule in self.rules.values())

    @property
    def label(self) -> str:
        """Weakest label of the rules; beside others an exact rule counts as of order 1, as the factors move apart.

        Raises
        ------
        ConfigError
            If a rule has no label.
        """
        labels = [getattr(rule, "label", None) for rule in self.rules.values()]
        if None in labels:
            raise ConfigError(f"the rules have the labels {labels}; expected one for each: give every rule a label")
        if "biased" in labels or len(labels) == 1:
            return "biased" if "biased" in labels else str(labels[0])
        orders = [1.0 if label == "exact" else float(str(label)[len("consistent(") : -1]) for label in labels]
        return f"consistent({min(orders):g})"

    @property
    def plan(self) -> Grid:
        """Plan in which every factor follows the grid of its own rule.

        Raises
        ------
        ConfigError
            If a rule has no grid of its own.
        """
        plans = {name: getattr(rule, "plan", None) for name, rule in self.rules.items()}
        grids = {name: plan for name, plan in plans.items() if isinstance(plan, Grid)}
        without, offsets = sorted(set(plans) - set(grids)), {grid.offset for grid in grids.values()}
        if without or len(offsets) != 1:
            raise ConfigError(
                f"the rules of {without} have no grid of their own, or the grids begin at different steps {offsets}; "
                "make a plan for the product, e.g. Grid({name: times, ...})"
            )
        return Grid({name: grid.times for name, grid in grids.items()}, offsets.pop())

    def __call__(self, process: ProductProcess, state: RunState, m: State, s: State) -> State:
        """Return the state at ``s``, factor by factor."""
        if set(self.rules) != set(process.factors):
            raise ConfigError(
                f"rules came for {sorted(self.rules)}; expected one for each factor {sorted(process.factors)}"
            )
        return {
            name: rule(process.factors[name], state.factor(name), m[name], s[name]) for name, rule in self.rules.items()
        }
