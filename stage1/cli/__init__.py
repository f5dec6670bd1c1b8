"""`stage1 ...`: the library at a shell. Nothing here computes; every command is a translation."""

from stage1.cli.main import main

__all__ = ["main"]
