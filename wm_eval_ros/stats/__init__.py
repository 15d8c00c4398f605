"""Statistics that know no robots: intervals, quantiles, tests."""
