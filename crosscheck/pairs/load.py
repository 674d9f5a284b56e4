"""Load pairs from a file: execute the file as a module and collect every pair at its top level."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from difflib import get_close_matches
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NoReturn

from crosscheck.core.guard import Printed, said, where
from crosscheck.pairs.declaration import Declaration, keeping_errors


class LoadingError(ValueError):
    """A file gives no pairs; the message names the file, what was found and what to do."""


def declared(path: str | Path, notice: Callable[[str], None] | None = None) -> list[Declaration]:
    """Return the pairs that a file declares, each once, in their order in the file.

    Pairs are found at the top level of the module, in lists, tuples and dicts there, and in the list ``crosscheck_pairs`` of a function. The pair's
    ``origin`` becomes this file, even if another module created the pair.

    Parameters
    ----------
    path : str or Path
        A Python file. Its imports search its own folder first, as for a script.
    notice : callable, optional
        Gets one line about what the file printed while it was executed; this output is not shown otherwise.

    Raises
    ------
    LoadingError
        If there is no such file, it cannot be executed, or it declares no pairs or two pairs with the same title.
    """
    path = Path(path)
    module, printed = _executed(path)
    if notice is not None and (note := printed.note(str(path))):
        notice(note)
    found: dict[int, Declaration] = {id(pair): pair for value in vars(module).values() for pair in _pairs(value)}
    pairs = list(found.values())
    if not pairs:
        raise LoadingError(
            f"{path}: declares no pair; expected a Pair, an OptimizerPair or a ModelPair at the top level of the file, in lists, "
            "tuples and dicts there, and on functions: write PAIR = crosscheck.Pair(subject, reference, shapes=[...])"
        )
    for title, count in Counter(pair.title for pair in pairs).items():
        if count > 1:
            raise LoadingError(f"{path}: {count} pairs are called {title!r}; give them names: name='...'")
    for pair in pairs:
        object.__setattr__(pair, "origin", path.resolve())
    return pairs


def find(path: str | Path, title: str) -> Declaration:
    """Load a file and return its pair with the given title.

    Raises
    ------
    LoadingError
        If there is no such pair, and as for :func:`declared`.
    """
    pairs = declared(path)
    for pair in pairs:
        if pair.title == title:
            return pair
    raise LoadingError(f"{path}: no pair is called {title!r}; the pairs are: {', '.join(repr(pair.title) for pair in pairs)}")


def _pairs(value: Any) -> list[Declaration]:
    """Return the pairs that a value of a module holds."""
    if isinstance(value, FunctionType):
        value = getattr(value, "crosscheck_pairs", ())
    held = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else [value]
    return [each for each in held if isinstance(each, Declaration)]


class _Uncached(SourceFileLoader):
    """Executes the current source. Python would use old cached bytecode if the old source has the same size and was saved in the same second."""

    def path_stats(self, path: str) -> NoReturn:
        """Raise, so that no bytecode is read or written."""
        raise OSError


def _executed(path: Path) -> tuple[ModuleType, Printed]:
    """Execute a file and return its module and what it printed."""
    if path.is_dir():
        raise LoadingError(f"{path}: is a folder, expected a Python file that declares pairs; name its files, as in {path / '*.py'}")
    file, _, title = str(path).partition("::")
    if title and file.endswith(".py"):
        raise LoadingError(f"{path}: expected a file; to check one of its pairs, write {file} --only {title}")
    if path.suffix != ".py":
        raise LoadingError(f"{path}: is not a Python file; declare pairs in a file whose name ends in .py")
    if not path.is_file():
        near = get_close_matches(path.name, [one.name for one in path.parent.glob("*.py")], 1)
        raise LoadingError(f"{path}: no such file" + (f"; did you mean {path.parent / near[0]}?" if near else ""))
    path = path.resolve()
    # Files with the same name in two folders are two modules.
    name = f"crosscheck_pairs_{hashlib.sha256(str(path).encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_Uncached(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickle look up a class's module by name.
    sys.modules[name] = module
    printed = Printed()
    try:
        with _folder_first(path.parent), keeping_errors(), redirect_stdout(printed), redirect_stderr(printed):
            spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise LoadingError(f"{path}: {_why(error, path)}") from error
    return module, printed


def _why(error: BaseException, path: Path) -> str:
    """Return in words what went wrong while a file was executed."""
    if isinstance(error, SyntaxError):
        inside = f"line {error.lineno}" if Path(error.filename or path) == path else f"{error.filename}, line {error.lineno}"
        return f"{type(error).__name__} in {inside}: {error.msg}"
    hint = ""
    if isinstance(error, ModuleNotFoundError) and error.name == "tensorflow":
        hint = "; Keras has to use JAX here: set the environment variable KERAS_BACKEND=jax before Keras is imported"
    elif isinstance(error, ModuleNotFoundError):
        hint = f"; install {error.name}, or if only the reference needs it, replace the reference by crosscheck.recorded(FILE)"
    return f"importing it raised {said(error)}{where(error)}{hint}"


@contextmanager
def _folder_first(folder: Path) -> Iterator[None]:
    """Import from a folder first. Modules with the same names that were imported from other folders are imported again."""
    there = {path.name for path in folder.iterdir()}
    for name, module in sys.modules.copy().items():
        top = name.partition(".")[0]
        # There are thousands of modules, so files are looked up only if the folder contains that name.
        if not there.isdisjoint((top, f"{top}.py")) and _from_elsewhere(top, module, folder):
            del sys.modules[name]
    importlib.invalidate_caches()
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


def _from_elsewhere(top: str, module: Any, folder: Path) -> bool:
    """Return whether a module is the user's own (not installed) and the folder has another module with its name."""
    file = getattr(module, "__file__", None)
    if not file or top in ("__main__", "crosscheck") or not any(path.is_file() for path in (folder / f"{top}.py", folder / top / "__init__.py")):
        return False
    installed = any(Path(file).is_relative_to(sysconfig.get_path(kind)) for kind in ("stdlib", "purelib", "platlib"))
    return not installed and not Path(file).resolve().is_relative_to(folder)
