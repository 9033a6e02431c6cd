"""The float networks for other runtimes."""
