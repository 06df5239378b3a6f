"""Finds the registry that an application names."""

from importlib import import_module

from workflow_engine.authoring import Registry
from workflow_engine.errors import SettingsError


def load_registry(name: str) -> Registry:
    """The registry at *name*, ``module:attribute``.

    Raises:
        SettingsError: there is no such module or attribute, or it is no ``Registry``.
    """
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module_name), attribute or "registry")
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(variable="WORKFLOWS", problem=f"{name!r}: {error}") from error
    if not isinstance(found, Registry):
        raise SettingsError(variable="WORKFLOWS", problem=f"{name!r} is no Registry")
    return found
