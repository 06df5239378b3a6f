"""The command line. Nothing else imports it, and importing it loads no AWS."""

from workflow_engine.cli.app import main

__all__ = ["main"]
