"""The only place where numbers are made: scorer, scorecard, verdicts."""
