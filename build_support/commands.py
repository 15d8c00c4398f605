"""The setuptools commands that put messages, wrappers and ament's files into the wheel."""

from __future__ import annotations

# setuptools brings this module and setup.py has imported setuptools before.
from distutils.command.install_data import install_data
import os
from pathlib import Path
import shutil
from typing import cast, ClassVar

from setuptools import Command, Distribution
from setuptools.command.build import build

from build_support.manifest import read_manifest
from build_support.rosidl_build import build as build_rosidl
from build_support.rosidl_build import BuildError, Built, find_interfaces, require_toolchain
from build_support.wrappers import write_wrappers

ROOT = Path(__file__).resolve().parents[1]
#: set to 1: fail instead of installing without messages
REQUIRE_MESSAGES = 'WM_EVAL_ROS_REQUIRE_MESSAGES'
WITHOUT_MESSAGES = (
    'wm_eval_ros is installed WITHOUT its ROS 2 messages: {reason}. Scoring bags works; nodes '
    'do not. Source a ROS 2 distribution and install with --no-build-isolation, or use colcon.')


def messages_buildable() -> bool:
    """Tell whether generators and compilers are here; fail where the user demands messages."""
    try:
        require_toolchain()
    except BuildError as error:
        if os.environ.get(REQUIRE_MESSAGES) == '1':
            raise SystemExit(f'{REQUIRE_MESSAGES}=1: {error}') from error
        return False
    return True


class MessageDistribution(Distribution):
    """A distribution whose wheel belongs to one platform where it holds compiled messages."""

    def has_ext_modules(self) -> bool:
        """Return whether the wheel will hold shared libraries."""
        return messages_buildable()


class BuildMessages(Command):
    """
    Sub-command of ``build``: generate and compile ``msg/`` and ``srv/``.

    In an editable installation the result goes to site-packages, as a portion of the package that
    its ``__path__`` picks up: environments of several Pythons can share one checkout.
    """

    description = 'generate and compile the ROS 2 interfaces'
    user_options: ClassVar[list[tuple[str, str | None, str]]] = []
    editable_mode = False

    def initialize_options(self) -> None:
        """Set the defaults."""
        self.build_lib: str | None = None
        self.build_temp: str | None = None
        self.built: Built | None = None

    def finalize_options(self) -> None:
        """Take the folders of ``build``."""
        self.set_undefined_options('build', ('build_lib', 'build_lib'),
                                   ('build_temp', 'build_temp'))

    def run(self) -> None:
        """Build, or warn that there will be no messages."""
        manifest = read_manifest(ROOT)
        try:
            interfaces = find_interfaces(ROOT, manifest.name, manifest.depends)
            self.built = build_rosidl(interfaces, Path(self.temp()) / 'rosidl')
        except BuildError as error:
            if os.environ.get(REQUIRE_MESSAGES) == '1':
                raise SystemExit(f'{REQUIRE_MESSAGES}=1: {error}') from error
            self.warn(WITHOUT_MESSAGES.format(reason=error))
        else:
            shutil.copytree(self.built.python, self.target() / manifest.name, dirs_exist_ok=True)
        if self.editable_mode:
            # setuptools leaves the data files out of editable installations
            self.run_command('install_data')

    def temp(self) -> str:
        """Return the folder for intermediate files."""
        assert self.build_temp is not None
        return self.build_temp

    def target(self) -> Path:
        """Return the folder that becomes site-packages."""
        if self.editable_mode:
            return Path(self.get_finalized_command('install').install_lib)
        assert self.build_lib is not None
        return Path(self.build_lib)

    def get_outputs(self) -> list[str]:
        """Return nothing: the files are copied as a tree, not linked one by one."""
        return []

    def get_output_mapping(self) -> dict[str, str]:
        """Return nothing: no output mirrors a source file."""
        return {}

    def get_source_files(self) -> list[str]:
        """Return what the sdist needs for this step, relative to the root."""
        return sorted(str(path.relative_to(ROOT)) for kind in ('msg', 'srv')
                      for path in (ROOT / kind).glob(f'*.{kind}'))


class Build(build):
    """``build`` with the messages as one of its steps."""

    sub_commands: ClassVar[list[tuple[str, object]]] = [
        *build.sub_commands, ('build_messages', None)]


class InstallData(install_data):
    """Add what exists only after the build: wrappers, ament index, definitions and hashes."""

    def run(self) -> None:
        """Install the data files below the prefix of the environment."""
        messages = cast(BuildMessages, self.get_finalized_command('build_messages'))
        self.data_files = [*self.data_files, *data_files(messages.built, Path(messages.temp()))]
        super().run()


def data_files(built: Built | None, temp: Path) -> list[tuple[str, list[str]]]:
    """
    Lay out ``lib/`` and ``share/`` as ament_cmake does.

    :param built: the messages, None where they could not be built
    :param temp: folder for generated files
    """
    name = read_manifest(ROOT).name
    index = 'share/ament_index/resource_index'
    marker = _write(temp / 'packages' / name, '')
    found = [(f'lib/{name}', [str(path) for path in write_wrappers(ROOT, temp / 'wrappers')]),
             (f'share/{name}', [str(ROOT / 'package.xml')]),
             (f'{index}/packages', [marker])]
    for folder in ('launch', 'config'):
        found += _tree(ROOT / folder, f'share/{name}/{folder}')
    if built is None:
        return found
    listing = '\n'.join(path.as_posix() for path in built.share_files)
    found.append((f'{index}/rosidl_interfaces', [_write(temp / 'interfaces' / name, listing)]))
    return [*found, *_tree(built.share, f'share/{name}')]


def _write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')
    return str(path)


def _tree(source: Path, target: str) -> list[tuple[str, list[str]]]:
    """List a folder for ``data_files``, sub-folders kept, caches left out."""
    folders: dict[str, list[str]] = {}
    for path in sorted(source.rglob('*')):
        if path.is_file() and '__pycache__' not in path.parts and not path.name.startswith('.'):
            relative = path.parent.relative_to(source).as_posix()
            folders.setdefault(relative, []).append(str(path))
    return [(target if key == '.' else f'{target}/{key}', files)
            for key, files in folders.items()]
