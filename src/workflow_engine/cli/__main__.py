"""``python -m workflow_engine.cli``: the command, where its script is not on the path."""

from workflow_engine.cli.entry import main

main()
