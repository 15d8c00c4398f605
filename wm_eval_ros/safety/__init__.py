"""The command gate: what may reach the plant, and what happens instead."""
