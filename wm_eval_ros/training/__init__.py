"""From bags to datasets to trained world models."""
