"""A valid call of every public name, from which the fuzzing tests make calls that are not."""

from __future__ import annotations

import importlib
import inspect
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from call_contract import documented_errors

PACKAGES = ("sparse_data", "recsys_ssl", "noisy_labels", "graph")


@dataclass(frozen=True)
class Call:
    """One valid call.

    Parameters
    ----------
    name : str
        Of the entry point, with its package; a method after its class.
    run : callable
    arguments : dict
        Valid values of all arguments.
    errors : tuple of exception classes
        What it may raise.
    fixed : frozenset of str
        Arguments that stay as they are.
    slow : bool
        Whether a call trains a model or builds layers: fewer inputs are tried.
    """

    name: str
    run: Callable[..., Any]
    arguments: dict[str, Any]
    errors: tuple[type[BaseException], ...]
    fixed: frozenset[str] = frozenset()
    slow: bool = False


def defaults(function: Any) -> dict[str, Any]:
    """Return the arguments of a function that have a default."""
    parameters = inspect.signature(function).parameters.values()
    return {one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty}


def calling(
    name: str, function: Any, /, *, fixed: Iterable[str] = (), slow: bool = False, **examples: Any
) -> Call:
    """Call a function, or a class, with arguments by name."""
    arguments = {**defaults(function), **examples}
    return Call(name, function, arguments, documented_errors(function), frozenset(fixed), slow)


def method(
    name: str, make: Callable[[], Any], /, *, fixed: Iterable[str] = (), slow: bool = False, **examples: Any
) -> Call:
    """Call a method of an object that is made anew."""
    last = name.rsplit(".", 1)[1]
    bound = getattr(make(), last)

    def run(**arguments: Any) -> Any:
        return getattr(make(), last)(**arguments)

    documented = documented_errors(bound, type(bound.__self__))
    return Call(name, run, {**defaults(bound), **examples}, documented, frozenset(fixed), slow)


def fitting(
    name: str,
    kind: Any,
    settings: dict[str, Any],
    data: dict[str, Any],
    *,
    fixed: Iterable[str] = (),
    slow: bool = True,
) -> Call:
    """Make an estimator and fit it; both sets of arguments are spoilt."""
    own = {**defaults(kind), **settings}

    def run(**arguments: Any) -> Any:
        estimator = kind(**{name: value for name, value in arguments.items() if name in own})
        return estimator.fit(**{name: value for name, value in arguments.items() if name not in own})

    arguments = {
        **own,
        **{key: value for key, value in defaults(kind.fit).items() if key not in ("y",)},
        **data,
    }
    return Call(name, run, arguments, documented_errors(kind, kind.fit), frozenset(fixed), slow)


def layer(
    name: str, kind: Any, /, *inputs: Any, fixed: Iterable[str] = (), then: str = "__call__", **settings: Any
) -> Call:
    """Make a layer and call it on valid input, or on what a function makes for the layer."""

    def run(**arguments: Any) -> Any:
        made = kind(**arguments)
        given = [one(made) if callable(one) else one for one in inputs]
        return getattr(made, then)(*given) if inputs else made

    arguments = {**defaults(kind), **settings}
    return Call(
        name, run, arguments, documented_errors(kind, getattr(kind, "call", None)), frozenset(fixed), True
    )


def public_names() -> set[str]:
    """Return the name of every public function and class of the four packages."""
    found = set()
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name) if package == "sparse_data" else None
            if isinstance(value, types.ModuleType):
                found.update(f"{package}.{name}.{inner}" for inner in _names_of(value))
            else:
                found.add(f"{package}.{name}")
    return found


def _names_of(module: types.ModuleType) -> list[str]:
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return list(listed)
    return [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and name[0] != "_"
    ]


def calls(package: str) -> Iterator[Call]:
    """Return the calls of one package."""
    made: Iterator[Call] = importlib.import_module(f"calls_of_{package}").calls()
    return made
