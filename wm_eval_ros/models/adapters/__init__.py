"""Upstream models behind the protocol: one module a project, none of which is imported here."""
