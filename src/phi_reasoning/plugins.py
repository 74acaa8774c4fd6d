"""Load reward plug-ins: `rewards/accuracy.py:accuracy` names a file and what to take from it."""

import difflib
import functools
import importlib
import importlib.util
import inspect
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from phi_reasoning import shipped

# What TRL hands to a reward at every call; a recipe cannot set these.
BATCH = {"prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric", "environments"}


class PluginError(ValueError):
    """A plug-in that cannot be used, explained in one line."""


def load(spec: str) -> Any:
    """Return the object that `spec` names: `folder/file.py:Name`, or a dotted path such as `my_pkg.rewards.name`."""
    if ":" not in spec and not spec.endswith(".py"):
        where, _, name = spec.rpartition(".")
        if not where:
            raise PluginError(f"found {spec!r}, valid: path/to/file.py:Name or a dotted path package.module.name")
        module = _import_dotted(where)
    else:
        where, _, name = spec.rpartition(":") if ":" in spec else (spec, "", "")
        module = _import_file(where)
    try:
        return getattr(module, name)
    except AttributeError:
        raise PluginError(_missing_name(where, name, module)) from None


def _missing_name(where: str, name: str, module: ModuleType) -> str:
    names = [
        key
        for key, value in vars(module).items()
        if callable(value) and not key.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    close = difflib.get_close_matches(name, names, 1)
    valid = f"nearest valid: {close[0]}" if close else f"valid: {', '.join(names) or 'nothing callable'}"
    return f"{where} has no {name!r}; {valid}" if name else f"{where} needs a ':Name' behind it; {valid}"


def _import_dotted(name: str) -> ModuleType:
    # At the end, so that a folder of the working directory never shadows an installed package.
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise PluginError(f"cannot import {name}: {_one_line(error)}") from error


def _import_file(path: str) -> ModuleType:
    """Execute the file once per process: two executions would give two distinct classes of one name."""
    try:
        source = shipped.find(path)
    except FileNotFoundError:
        close = shipped.nearest(path)
        hint = f"; nearest valid: {close}" if close else ""
        raise PluginError(f"no such file: {path}{hint}") from None
    return sys.modules.get(str(source)) or _execute(source)


def _execute(source: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(str(source), source)
    if spec is None or spec.loader is None:
        raise PluginError(f"found {source.name}, valid: a Python file (.py)")
    # Registered before it runs: a dataclass under `from __future__ import annotations` looks its module up.
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        raise PluginError(f"{source.name} does not load: {_one_line(error)}") from error
    return module


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def parameters(target: Any) -> dict[str, inspect.Parameter]:
    """Return what a recipe may set on `target`: the named arguments that do not come with each batch."""
    named = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        return {}
    taken = set() if inspect.isclass(target) else BATCH
    return {name: p for name, p in signature.parameters.items() if p.kind in named and name not in taken}


def takes_any(target: Any) -> bool:
    """True for a class whose constructor has `**kwargs`; in a function those are the columns of the batch."""
    if not inspect.isclass(target):
        return False
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(target).parameters.values())


def hints(target: Any) -> dict[str, Any]:
    """Return the types of those parameters, as far as the annotations can be resolved."""
    try:
        return get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (AttributeError, NameError, TypeError):
        return {}


class Reward:
    """A reward function that remembers its spec: it logs under its own name and pickles into spawned workers.

    Args:
        spec: File and name, such as `rewards/accuracy.py:accuracy`.
        kwargs: Settings from the recipe, for the constructor of a class or the named arguments of a function.
        filled: Settings that only the program knows, see `fill`.
    """

    def __init__(self, spec: str, kwargs: dict[str, Any] | None = None, filled: dict[str, Any] | None = None) -> None:
        self.spec, self.kwargs, self.filled = spec, dict(kwargs or {}), dict(filled or {})
        self.__name__ = spec.replace(":", ".").rpartition(".")[2]
        self.function = _bind(load(spec), self.__name__, {**self.filled, **self.kwargs})
        # TRL asks whether `reward.__call__` is a coroutine function; an async reward shows its own.
        for function in (self.function, getattr(self.function, "__call__", None)):  # noqa: B004
            if inspect.iscoroutinefunction(function):
                vars(self)["__call__"] = function

    def __call__(self, **batch: Any) -> Any:
        return self.function(**batch)

    def __reduce__(self) -> tuple[Any, ...]:
        return Reward, (self.spec, self.kwargs, self.filled)

    def __repr__(self) -> str:
        return f"Reward({self.spec!r}, {self.kwargs!r})"

    @property
    def source(self) -> Path | None:
        """The file the reward stands in, or None for a dotted path."""
        return shipped.find(self.spec.rpartition(":")[0]) if ":" in self.spec else None

    def fill(self, **known: Any) -> "Reward":
        """Return this reward with each of `known` set that it takes as a parameter and the recipe left open."""
        takes = parameters(load(self.spec))
        filled = {name: value for name, value in known.items() if name in takes and name not in self.kwargs}
        return Reward(self.spec, self.kwargs, {**self.filled, **filled})


def _bind(target: Any, name: str, settings: dict[str, Any]) -> Any:
    if not callable(target):
        raise PluginError(f"{name} is not callable, valid: a function, or a class with __call__")
    try:
        function = target(**settings) if inspect.isclass(target) else target
    except Exception as error:
        raise PluginError(f"{name} refuses its kwargs: {_one_line(error)}") from error
    if not callable(function):
        raise PluginError(f"{name} has no __call__, valid: a function, or a class with __call__")
    return functools.partial(function, **settings) if settings and function is target else function
