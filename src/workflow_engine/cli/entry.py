"""Where the command begins. It imports nothing of the extra ``local``, and says in one line if that is missing."""

import sys

DISTRIBUTION = "workflow-engine-aws"
# The modules of the extra `local` (pyproject.toml): all that pip leaves out when it is not asked for.
MODULES_OF_LOCAL = frozenset({"moto", "rich", "typer", "yaml"})


def missing_extra(error: BaseException) -> str | None:
    """What to install, where *error* is about a module that the command line needs and the engine does not."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if name not in MODULES_OF_LOCAL:
        return None
    return f'the command line needs the extra "local" ({name} is missing): pip install "{DISTRIBUTION}[local]"'


def main() -> None:
    """Run the command line of this process."""
    try:
        from workflow_engine.cli.app import app

        app()
    except ModuleNotFoundError as error:
        if (advice := missing_extra(error)) is None:
            raise
        print(f"workflow-engine: {advice}", file=sys.stderr)
        sys.exit(2)  # bad usage, as in cli/errors.py, which needs more than there may be
