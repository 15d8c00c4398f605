"""Bags: reading, writing, preflight; no ROS needed."""
