"""Planners: anytime search for actions in an imagined future."""
