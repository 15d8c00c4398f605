"""Libraries the statistics are checked against."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


# loaded once and outside of the examples, which hypothesis traces
@pytest.fixture(scope='session')
def statsmodels() -> SimpleNamespace:
    return SimpleNamespace(
        multitest=pytest.importorskip('statsmodels.stats.multitest'),
        proportion=pytest.importorskip('statsmodels.stats.proportion'),
        rates=pytest.importorskip('statsmodels.stats.rates'),
        tables=pytest.importorskip('statsmodels.stats.contingency_tables'),
        survival=pytest.importorskip('statsmodels.duration.survfunc'))


@pytest.fixture(scope='session')
def sklearn() -> SimpleNamespace:
    return SimpleNamespace(metrics=pytest.importorskip('sklearn.metrics'),
                           linear=pytest.importorskip('sklearn.linear_model'))
