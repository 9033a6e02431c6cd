"""The command line: one file per command."""

from quaver.cli.app import main

__all__ = ["main"]
