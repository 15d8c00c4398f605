"""
Build backend: setuptools, with the ROS generators among the requirements where ROS is absent.

A static list in pyproject.toml could not tell the machines apart: with a sourced ROS 2
distribution the wheels would be mixed into it, and off x86_64 there are none.
"""

from __future__ import annotations

from pathlib import Path
import sys

from setuptools import build_meta
from setuptools.build_meta import (  # noqa: F401
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from build_support.manifest import GENERATOR_WHEELS, on_wheel_platform, ros_is_sourced


def _generators() -> list[str]:
    return [] if ros_is_sourced() else on_wheel_platform(GENERATOR_WHEELS)


def get_requires_for_build_wheel(config_settings: dict[str, object] | None = None) -> list[str]:
    """Return setuptools' requirements and the message generators."""
    return [*build_meta.get_requires_for_build_wheel(config_settings), *_generators()]


def get_requires_for_build_editable(config_settings: dict[str, object] | None = None) -> list[str]:
    """Return setuptools' requirements and the message generators."""
    return [*build_meta.get_requires_for_build_editable(config_settings), *_generators()]
