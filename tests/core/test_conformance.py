"""The kits of `scidiff.testing` over every process, analytic denoiser and rule of the core."""

from __future__ import annotations

import inspect

import pytest

import scidiff.process
import scidiff.sample
from scidiff.errors import ConfigError
from scidiff.process import Process
from scidiff.sample import (
    Ancestral,
    Confidence,
    EntropyBounded,
    FactorRule,
    FirstHitting,
    ForwardBackward,
    LooGibbs,
    MinimumEntropy,
    Psi,
    RandomOrder,
    Retracted,
    SiteRule,
    Unmask,
    defog,
)
from scidiff.testing import check_denoiser, check_label, check_process, check_rule

from .conformance_cases import DENOISERS, PROCESSES
from .conformance_rules import RULES


@pytest.mark.parametrize("name", PROCESSES)
def test_processes(name):
    case = PROCESSES[name]()
    check_process(case.process, case.x0, views=case.views, **case.options)


@pytest.mark.parametrize("name", DENOISERS)
def test_denoisers(name):
    case = DENOISERS[name]()
    check_denoiser(case.denoiser, case.process, case.x0, **case.options)


@pytest.mark.parametrize("name", RULES)
def test_rules(name):
    case = RULES[name]()
    check_rule(case.rule, case.process, case.plan, case.denoiser, case.shape, **case.options)


@pytest.mark.parametrize(
    "method",
    [
        RandomOrder(),
        MinimumEntropy(),
        EntropyBounded(0.0),
        Confidence(),
        LooGibbs(),
        ForwardBackward(0.1),
        FirstHitting,
    ],
    ids=lambda method: getattr(method, "__name__", type(method).__name__),
)
def test_plans_and_correctors_have_labels(method):
    check_label(method)


def test_a_product_is_as_weak_as_its_weakest_rule():
    """An exact rule beside another loses the dependence between the factors, hence counts as of order 1."""
    labels = {"exact": Unmask(), "1": Ancestral(), "0.5": Psi(0.5), "biased": defog(omega=0.1), "2": Retracted(2)}
    expected = {"1 2": "consistent(1)", "0.5 2": "consistent(0.5)", "exact 2": "consistent(1)", "exact": "exact"}
    expected |= {"2": "consistent(2)", "biased 2": "biased", "biased": "biased"}
    for names, label in expected.items():
        assert FactorRule({name: labels[name] for name in names.split()}).label == label
    with pytest.raises(ConfigError, match="give every rule a label"):
        _ = FactorRule({"a": Unmask(), "b": lambda *_: None}).label


def exported(module, wanted) -> set[str]:
    members = {name: getattr(module, name) for name in module.__all__}
    return {name for name, each in members.items() if inspect.isclass(each) and wanted(each)}


def test_nothing_is_left_out():
    """Each public process and rule is a case above, or the base of one."""
    processes = {type(make().process).__name__ for make in PROCESSES.values()} | {"Process", "TangentProcess"}
    assert exported(scidiff.process, lambda each: issubclass(each, Process)) <= processes
    rules = {type(make().rule).__name__ for make in RULES.values()} | {"SiteRule", "Rule"}
    called = lambda each: "memory" in dir(each) and "__call__" in dir(each)  # noqa: E731
    assert exported(scidiff.sample, lambda each: called(each) or issubclass(each, SiteRule)) <= rules
