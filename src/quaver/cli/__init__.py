"""The `quaver` command."""
