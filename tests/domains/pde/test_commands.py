"""What the commands of the domain refuse before they begin, and what they hand on."""

from __future__ import annotations

from typing import Any

import pytest
from scidiff.domains.pde import training
from scidiff.domains.pde.cli import app
from scidiff.domains.pde.field_model import FieldModel
from scidiff.domains.pde.models import load
from scidiff.domains.pde.sample_files import ENDINGS, endings_of
from scidiff.domains.pde.training import RECIPES, family_recipe
from typer.testing import CliRunner

from scidiff.errors import ConfigError
from scidiff.io.checkpoint import load_model
from scidiff.train import Precision


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert isinstance(done.exception, ConfigError), done.output
    return str(done.exception)


@pytest.mark.parametrize("recipe", sorted(set(RECIPES) - {"flow-tune"}))
def test_a_model_to_go_on_from_is_refused_where_a_recipe_takes_none(tmp_path, recipe):
    says = refused("train", "--out", str(tmp_path / "run"), "--recipe", recipe, "--start", "flow")
    assert f"--start flow came with recipe '{recipe}'" in says
    assert not (tmp_path / "run").exists()


class Kept(Exception):
    """What a recipe was called with."""


@pytest.mark.parametrize("more", [[], ["--float32"]], ids=["default", "float32"])
def test_the_precision_is_that_of_the_recipe_unless_another_is_asked_for(tmp_path, monkeypatch, more):
    def recipe(folder: Any, *, start: str | None = None, **settings: Any) -> None:
        raise Kept(start, settings)

    monkeypatch.setattr(training, "recipe", lambda name: recipe)
    done = CliRunner().invoke(app, ["train", "--out", str(tmp_path), "--start", "flow", *more])
    assert isinstance(done.exception, Kept)
    start, settings = done.exception.args
    assert start == "flow"
    assert settings.get("precision") is (Precision.FLOAT32 if more else None)


@pytest.mark.parametrize("precision", list(Precision), ids=lambda precision: precision.name)
def test_families_are_trained_in_the_precision_that_is_asked_for(tmp_path, precision):
    result = family_recipe.train_heat(tmp_path, rows=64, steps=2, batch_size=8, precision=precision)
    assert load_model(result.model)[1]["training"]["config"]["precision"] == precision.name


@pytest.mark.parametrize("name", ["flow", "darcy", "heat", "poisson", "mesh_flow"])
def test_a_form_that_samples_do_not_have_is_refused_before_drawing(tmp_path, monkeypatch, name):
    """All other forms are written by what the model draws."""
    model = load(name)
    other = sorted(set(ENDINGS) - set(endings_of(model)))
    assert other

    def draw(*_: Any, **__: Any) -> None:
        raise Kept

    monkeypatch.setattr(type(model), "sample", draw)
    for ending in other:
        assert "no samples of model" in refused("sample", "--model", name, "--out", str(tmp_path / f"x{ending}"))


@pytest.mark.parametrize("name", ["poisson", "mesh_flow"])
def test_every_form_that_is_offered_is_written(tmp_path, name):
    model = load(name)
    assert isinstance(model, FieldModel)
    for ending in endings_of(model):
        done = CliRunner().invoke(
            app, ["sample", "--model", name, "--count", "1", "--steps", "1", "--out", str(tmp_path / f"x{ending}")]
        )
        assert done.exit_code == 0, (done.output, done.exception)
        assert (tmp_path / f"x{ending}").exists()
