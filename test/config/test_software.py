"""Which code is running."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path
import xml.etree.ElementTree as ElementTree

import pytest

from wm_eval_ros.config import software


def test_without_python_metadata_the_version_is_that_of_the_ros_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(name: str) -> str:
        raise PackageNotFoundError(name)

    told = software.package_version()
    monkeypatch.setattr(software, 'version', none)
    package = Path(software.__file__).parents[2] / 'package.xml'
    assert software.package_version() == ElementTree.parse(package).findtext('version') == told
