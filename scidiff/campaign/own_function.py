"""Functions of one's own, from files beside the specification.

A module of the folder is loaded from its text under a name that holds the SHA-256 of its place and text, beside any
other module of its name: an edited one is another module, and so is that of another folder. A package is one text, all
its files. What is not in the folder is imported as usual, and so is what such a module imports itself.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable
from importlib.abc import SourceLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from scidiff.domain import resolve
from scidiff.errors import ConfigError

__all__ = ["own_function"]


def own_function(target: str, source: Path) -> tuple[Callable[..., Any], str]:
    """Load a function; the folder of the specification is searched first.

    Parameters
    ----------
    target
        ``"module:function"``.
    source
        The folder.

    Returns
    -------
    function, hash
        The function, and the SHA-256 of the file that defines it.

    Raises
    ------
    ConfigError
        If it cannot be loaded, or is no function.
    """
    folder = source.resolve()
    _search_first(str(folder))
    importlib.invalidate_caches()
    module, _, attribute = target.partition(":")
    try:
        name, texts = _loaded(module, folder)
        function = resolve(f"{name}:{attribute}")
    except Exception as error:
        raise ConfigError(
            f"'{target}' cannot be imported: {type(error).__name__}: {error}; put the module beside the specification, "
            "or install it"
        ) from error
    if not callable(function):
        raise ConfigError(f"'{target}' is a {type(function).__name__}; expected a function of one row")
    return function, _hash(function, name, texts)


def _search_first(folder: str) -> None:
    """Let modules that own modules import be found in the folder."""
    if sys.path[:1] != [folder]:
        sys.path[:] = [folder, *(each for each in sys.path if each != folder)]


def _loaded(module: str, folder: Path) -> tuple[str, dict[Path, bytes]]:
    """Name under which a module can be imported, and the files that it was loaded from."""
    top, _, rest = module.partition(".")
    root = folder / top
    package, alone = root / "__init__.py", folder / f"{top}.py"
    if package.is_file():
        files = sorted(root.rglob("*.py"))
    elif alone.is_file() and not rest:
        files = [alone]
    else:
        return module, {}
    texts = {path: path.read_bytes() for path in files}
    digest = hashlib.sha256()
    for path, text in texts.items():
        digest.update(f"{path}\0{len(text)}\0".encode() + text)
    name = f"{top}_{digest.hexdigest()}"
    if name not in sys.modules:
        _execute(name, package if package in texts else alone, texts)
    return f"{name}.{rest}" if rest else name, texts


def _execute(name: str, path: Path, texts: dict[Path, bytes]) -> None:
    """Make a module of a text; it is known by its name while it runs, and no more if it fails."""
    text = _Text(path, texts[path])
    within = [str(path.parent)] if path.name == "__init__.py" else None
    spec = spec_from_file_location(name, path, loader=text, submodule_search_locations=within)
    if spec is None:
        raise ImportError(f"{path} is no module")
    made = module_from_spec(spec)
    sys.modules[name] = made
    try:
        text.exec_module(made)
    except BaseException:
        del sys.modules[name]
        raise


class _Text(SourceLoader):
    """A text that is at hand: neither the file nor compiled code of it is read again."""

    def __init__(self, path: Path, text: bytes) -> None:
        self._path, self._text = path, text

    def get_filename(self, fullname: str) -> str:
        """Name of the file, for tracebacks."""
        return str(self._path)

    def get_data(self, path: Any) -> bytes:
        """The text."""
        return self._text


def _hash(function: Callable[..., Any], name: str, texts: dict[Path, bytes]) -> str:
    """SHA-256 of the file of a function; its version cannot be told otherwise."""
    try:
        file = inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:
        file = getattr(sys.modules[name], "__file__", None)
    if file is None:
        return "unknown"
    path = Path(file)
    return hashlib.sha256(texts[path] if path in texts else path.read_bytes()).hexdigest()
