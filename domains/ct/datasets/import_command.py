"""The command ``scidiff ct import``: one scan or volume of a public data set, from a local copy, as a file of ours."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from scidiff.errors import ConfigError, UnknownNameError
from scidiff.io.command import Json, tell

__all__ = ["import_data", "parse_options"]

_LOADERS = {
    "2detect": "load_2detect",
    "ldgc": "load_ldgc",
    "lodoind": "load_lodoind",
    "lodopab": "load_lodopab",
    "rock": "load_rock",
    "walnut": "load_walnut",
}


def import_data(
    name: Annotated[str, typer.Argument(help="Data set: 2detect, ldgc, lodoind, lodopab, rock, walnut.")],
    path: Annotated[Path, typer.Argument(help="Folder or file of the local copy.")],
    out: Annotated[Path, typer.Option(help="Scan to write: .npz; volume to write: what reconstruct --out takes.")],
    options: Annotated[
        list[str] | None, typer.Option("--set", help="Option of the loader, NAME=VALUE; a range is FIRST:STOP.")
    ] = None,
    sha256: Annotated[str, typer.Option(help="Hash that the files have to have.")] = "",
    to_json: Json = None,
) -> None:
    """Read a public data set from a local copy; nothing is fetched."""
    from .. import datasets
    from ..checks import ScanWarning
    from ..readers import save_volume, write_scan
    from ..readers.write import writer_for
    from ..scan import Scan

    if name not in _LOADERS:
        raise UnknownNameError("data set", name, _LOADERS)
    load = getattr(datasets, _LOADERS[name])
    given = parse_options(load, options or ())
    writer_for(out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanWarning)
        loaded = load(path, sha256=sha256, **given)
    main, written = loaded.scan if isinstance(loaded, datasets.Pair) else loaded, [str(out)]
    facts: dict[str, Any] = dict(main.facts)
    if isinstance(main, Scan):
        write_scan(out, main)
        facts |= {"shape": list(main.geometry.shape), "findings": [finding.code for finding in main.findings]}
    else:
        save_volume(out, main)
        facts |= {"shape": list(main.grid.shape), "voxel_mm": list(main.grid.lengths)}
    if isinstance(loaded, datasets.Pair):
        beside = out.with_name(f"{out.stem}-truth{out.suffix}")
        save_volume(beside, loaded.truth)
        written.append(str(beside))
    facts = json.loads(json.dumps({"out": written, **facts}, default=str))
    tell(facts, to_json, [f"{key}: {value}" for key, value in facts.items()])


def parse_options(load: Callable[..., Any], options: Sequence[str]) -> dict[str, Any]:
    """Options of a loader from texts ``NAME=VALUE``, by the types that its signature states.

    Parameters
    ----------
    load
        The loader.
    options
        The texts.

    Returns
    -------
    dict
        Values by name.

    Raises
    ------
    ConfigError
        If a name is none of the loader's, a value is not of its type, or a value that is needed is missing.
    """
    known = {k: v for k, v in inspect.signature(load).parameters.items() if k not in ("path", "sha256")}
    told = ", ".join(f"{k} ({v.annotation})" for k, v in known.items())
    given: dict[str, Any] = {}
    for text in options:
        name, sign, value = text.partition("=")
        if not sign or name not in known:
            raise ConfigError(f"--set {text}: expected NAME=VALUE with one of {told}")
        try:
            given[name] = _value(str(known[name].annotation), value)
        except ValueError as error:
            raise ConfigError(
                f"--set {text}: expected {name} as {known[name].annotation}; a range is 500:600"
            ) from error
    missing = [k for k, v in known.items() if v.default is inspect.Parameter.empty and k not in given]
    if missing:
        raise ConfigError(f"{', '.join(missing)} is missing; give it as --set {missing[0]}=VALUE ({told})")
    return given


def _value(kind: str, text: str) -> Any:
    """One value of a type by its name."""
    if kind.startswith("range"):
        first, _, stop = text.partition(":")
        return range(int(first), int(stop))
    if kind.startswith("int"):
        return int(text)
    return float(text) if kind.startswith("float") else text
