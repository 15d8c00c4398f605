"""Typed settings: one declaration feeds the YAML files, the ROS parameters and the docs."""
