"""Settings for every test: machines are shared, so Hypothesis sets no time limit per example."""

from hypothesis import settings

settings.register_profile("quaver", deadline=None)
settings.load_profile("quaver")
