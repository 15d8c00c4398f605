"""
Write what a build without setuptools' own console scripts needs from ``setup.cfg``.

One executable per console script, since ``ros2 run`` and ``launch_ros`` look for nothing else, and
``entry_points.txt``. Called by setup.py, and by CMakeLists.txt as ``wrappers.py ROOT OUT``.
"""

from __future__ import annotations

from pathlib import Path
import sys

if __package__:
    from build_support.manifest import console_scripts, entry_points
else:
    from manifest import console_scripts, entry_points  # type: ignore[import-not-found,no-redef]

TEMPLATE = """\
#!/usr/bin/env python3
from {module} import {function}
raise SystemExit({function}())
"""


def write_wrappers(root: Path, out: Path) -> list[Path]:
    """
    Write the wrappers of the console scripts in ``root/setup.cfg``.

    :param out: folder to write to, made where absent
    :returns: the files, mode 755
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (module, function) in console_scripts(root).items():
        path = out / name
        path.write_text(TEMPLATE.format(module=module, function=function), encoding='utf-8')
        path.chmod(0o755)
        written.append(path)
    return written


def write_entry_points(root: Path, out: Path) -> None:
    """Write all entry points of ``root/setup.cfg`` in the format of ``entry_points.txt``."""
    groups = ['\n'.join([f'[{group}]', *(f'{name} = {target}' for name, target in pairs.items())])
              for group, pairs in entry_points(root).items()]
    out.write_text('\n\n'.join(groups) + '\n', encoding='utf-8')


if __name__ == '__main__':
    write_wrappers(Path(sys.argv[1]), Path(sys.argv[2]) / 'wrappers')
    write_entry_points(Path(sys.argv[1]), Path(sys.argv[2]) / 'entry_points.txt')
