"""Closed-loop evaluation of world models on robots and simulators, on the ROS 2 graph."""

from pkgutil import extend_path

# A source checkout on sys.path must not hide the generated `msg` and `srv` of an installation.
__path__ = extend_path(__path__, __name__)
