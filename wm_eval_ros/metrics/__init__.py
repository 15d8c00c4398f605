"""One file a family: a pure function and the fold that streams it."""
