"""Runs a command with DynamoDB Local beside it, where that can be had.

usage: ``with_dynamodb_local.py COMMAND [ARGUMENT…]``. The command finds its URL in
``WORKFLOW_ENGINE_DYNAMODB_LOCAL``; where there is none, it runs without, and one line says why.
"""

import os
import subprocess
import sys

import dynamodb_local

VARIABLE = "WORKFLOW_ENGINE_DYNAMODB_LOCAL"


def main() -> int:
    """Run the command; its exit code."""
    command = sys.argv[1:]
    try:
        with dynamodb_local.running(dynamodb_local.fetch()) as url:
            return subprocess.run(command, env={**os.environ, VARIABLE: url}, check=False).returncode
    except dynamodb_local.UnavailableError as error:
        print(f"DynamoDB Local is not available: {error}", file=sys.stderr)
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
