"""The command line. Nothing of the engine imports it, and importing it loads neither AWS nor a library of its extra."""

from workflow_engine.cli.entry import main

__all__ = ["main"]
