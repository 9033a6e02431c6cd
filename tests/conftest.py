"""Settings for every test: machines are shared, so Hypothesis sets no time limit per example; what a test remembers
about this machine goes to a folder of its own."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("quaver", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("quaver")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache-home")))
