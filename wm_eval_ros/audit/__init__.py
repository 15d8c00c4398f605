"""Audit trail: a hash chain over a bag, signed checkpoints, and what holds a bag against them."""
