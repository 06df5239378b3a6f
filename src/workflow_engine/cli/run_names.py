"""Which run somebody means: by its id, by the beginning of it, or the last one."""

from workflow_engine.cli.stacks import Stack
from workflow_engine.local.errors import InvalidOptionError

LAST = "last"
# Ids have 26 characters of 5 bits: of a million runs, hardly two begin with the same eight.
SHORTEST, WHOLE = 8, 26


def run_named(stack: Stack, said: str) -> str:
    """The id of the run that *said* stands for; what is no name of one is left as it is, to be not found.

    Raises:
        InvalidOptionError: there is no run yet, or several begin so.
    """
    queries = stack.kernel.queries
    if said == LAST:
        newest = queries.newest()
        if newest is None:
            raise InvalidOptionError(option="RUN", problem="there is no run yet, so there is no last one")
        return newest
    if not SHORTEST <= len(said) < WHOLE or not said.isalnum():
        return said
    found = queries.beginning_with(said)
    if len(found) > 1:
        listed = ", ".join(sorted(found)[:5])
        raise InvalidOptionError(option="RUN", problem=f"{len(found)} runs begin with {said!r}: {listed}")
    return found[0] if found else said
