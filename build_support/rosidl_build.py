"""
Generate and compile the package's ROS 2 interfaces without CMake.

The classes of the real rosidl generators are called, not the ``rosidl`` command: with the wheels
that one ends in "duplicate entry point 'py'". The result is what ament_cmake would make, less the
C++ libraries: Python modules, one library per type support and the extension that loads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import os
from pathlib import Path
import shlex
import shutil
import subprocess
import sysconfig

#: type supports that rclpy can use, in the order of preference of rosidl_typesupport_c
DYNAMIC_TYPESUPPORTS = ('rosidl_typesupport_fastrtps_c', 'rosidl_typesupport_introspection_c')
#: every service implies this dependency on its event message
SERVICE_DEPENDENCY = 'service_msgs'
#: libraries every generated file may call, whichever type support it belongs to
RUNTIME_LIBRARIES = ('rosidl_runtime_c', 'rosidl_typesupport_c', 'rcutils', 'rmw')
FASTRTPS_LIBRARIES = ('rosidl_typesupport_fastrtps_c', 'rosidl_typesupport_fastrtps_cpp',
                      'fastcdr')
INTROSPECTION_LIBRARIES = ('rosidl_typesupport_introspection_c',)


class BuildError(Exception):
    """The messages cannot be built here; the text says why and what would do."""


@dataclass(frozen=True)
class Interfaces:
    """What is to be built."""

    package: str
    #: folder that holds ``msg/`` and ``srv/``
    root: Path
    #: relative to root, sorted
    files: tuple[Path, ...]
    #: packages whose messages ours use
    dependencies: tuple[str, ...]


@dataclass(frozen=True)
class Built:
    """Where everything lies that has to be installed."""

    #: goes into the package folder beside ``__init__.py``: msg/, srv/ and the libraries
    python: Path
    #: goes into ``share/<package>``: definitions, their IDL and type descriptions
    share: Path
    #: relative to share, sorted
    share_files: tuple[Path, ...]


def find_interfaces(root: Path, package: str, depends: Iterable[str]) -> Interfaces:
    """Glob the definitions; only dependencies with messages count."""
    files = sorted(path.relative_to(root) for kind in ('msg', 'srv')
                   for path in (root / kind).glob(f'*.{kind}'))
    dependencies = {*depends, SERVICE_DEPENDENCY}
    return Interfaces(package, root, tuple(files), tuple(sorted(dependencies)))


def require_toolchain() -> None:
    """
    Raise :class:`BuildError` where the generators or the compilers are missing.

    The generators' own prefix is put on ``AMENT_PREFIX_PATH``: the wheels leave it unset, and in
    an isolated build it is neither ``sys.prefix`` nor the environment the package goes to.
    """
    try:
        import ament_index_python  # noqa: F401
        import rosidl_adapter
        import rosidl_generator_py  # noqa: F401
    except ImportError as error:
        raise BuildError(f'no rosidl generators in this Python ({error})') from error
    for name in ('c', 'c++'):
        if shutil.which(compiler(name)[0]) is None:
            raise BuildError(f'no {name} compiler ({compiler(name)[0]}) found')
    # <prefix>/lib/pythonX.Y/site-packages/rosidl_adapter/__init__.py
    prefix = str(Path(rosidl_adapter.__file__).resolve().parents[4])
    known = [part for part in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if part]
    if prefix not in known and (Path(prefix) / 'share' / 'ament_index').is_dir():
        os.environ['AMENT_PREFIX_PATH'] = os.pathsep.join([prefix, *known])


def compiler(language: str) -> list[str]:
    """Command of the C or C++ compiler, from ``CC`` / ``CXX`` where set."""
    variable, default = ('CC', 'cc') if language == 'c' else ('CXX', 'c++')
    return shlex.split(os.environ.get(variable, '')) or [default]


def generate(interfaces: Interfaces, out: Path) -> dict[str, Path]:
    """
    Run all generators.

    :param out: folder for everything generated
    :returns: output folder of each generator, by its package name
    """
    # Imported late: the file must load where no ROS is.
    from rosidl_generator_c.cli import GenerateC
    from rosidl_generator_py.cli import GeneratePython
    from rosidl_typesupport_c.cli import GenerateCTypesupport
    from rosidl_typesupport_fastrtps_c.cli import GenerateFastRTPSCTypesupport
    from rosidl_typesupport_introspection_c.cli import GenerateIntrospectionCTypesupport

    idl_files = _translate(interfaces, out / 'idl' / interfaces.package)
    includes = [_share(dependency).parent for dependency in interfaces.dependencies]
    descriptions = _describe(interfaces, idl_files, out / 'idl' / interfaces.package)
    generators = {
        'rosidl_generator_py': GeneratePython(
            'py', typesupport_implementations=['rosidl_typesupport_c']),
        'rosidl_typesupport_c': GenerateCTypesupport(
            'c', typesupport_implementations=list(_typesupports())),
        'rosidl_typesupport_fastrtps_c': GenerateFastRTPSCTypesupport('fastrtps_c'),
        'rosidl_typesupport_introspection_c': GenerateIntrospectionCTypesupport('introspection_c'),
    }
    folders = {'rosidl_generator_c': out / 'rosidl_generator_c' / interfaces.package}
    GenerateC('c').generate(interfaces.package, idl_files, includes,
                            folders['rosidl_generator_c'], descriptions)
    for name in ('rosidl_generator_py', 'rosidl_typesupport_c', *_typesupports()):
        folders[name] = out / name / interfaces.package
        for kind in ('msg', 'srv'):
            (folders[name] / kind).mkdir(parents=True, exist_ok=True)
        generators[name].generate(interfaces.package, idl_files, includes, folders[name])
    return folders


def _share(package: str) -> Path:
    from ament_index_python import get_package_share_directory
    return Path(get_package_share_directory(package))


def _typesupports() -> tuple[str, ...]:
    from ament_index_python import get_resources
    installed = get_resources('rosidl_typesupport_c')
    return tuple(name for name in DYNAMIC_TYPESUPPORTS if name in installed)


def _translate(interfaces: Interfaces, out: Path) -> list[str]:
    """Write the IDL of every definition; ``folder:relative path`` is the generators' notation."""
    from rosidl_adapter import convert_to_idl
    for file in interfaces.files:
        convert_to_idl(interfaces.root.absolute(), interfaces.package, file, out)
        shutil.copy2(interfaces.root / file, out / file)
    return [f'{out}:{file.with_suffix(".idl").as_posix()}' for file in interfaces.files]


def _describe(interfaces: Interfaces, idl_files: Sequence[str], out: Path) -> list[str]:
    """
    Write the type descriptions with their RIHS01 hashes.

    The include paths are globbed recursively by the generator: they must be the dependencies'
    own folders, a whole ``share/`` takes seconds.
    """
    from rosidl_generator_type_description.cli import HashTypeDescription
    includes = [_share(dependency) for dependency in interfaces.dependencies]
    written = HashTypeDescription('type_description').generate_type_hashes(
        interfaces.package, list(idl_files), includes, out)
    tops = {file.with_suffix('.json').as_posix() for file in interfaces.files}
    relative = (Path(path).relative_to(out).as_posix() for path in written)
    return [str(out / path) for path in relative if path in tops]


@dataclass(frozen=True)
class Toolchain:
    """Compiler and linker flags shared by every unit."""

    includes: tuple[str, ...]
    library_folders: tuple[str, ...]
    temp: Path

    def compile(self, source: Path) -> Path:
        """Compile one C or C++ file to an object beside nothing else of that name."""
        is_c = source.suffix == '.c'
        target = self.temp / ('__'.join(source.parts[-5:]) + '.o')
        standard = '-std=c11' if is_c else '-std=c++17'
        _run([*compiler('c' if is_c else 'c++'), '-c', '-O2', '-fPIC', '-w', standard,
              '-D_DEFAULT_SOURCE', *self.includes, str(source), '-o', str(target)])
        return target

    def link(self, target: Path, objects: Iterable[Path], own: Iterable[str],
             libraries: Iterable[str]) -> None:
        """
        Link a shared library.

        ``own`` stays needed although no symbol of it is used: rosidl_typesupport_c opens the type
        supports by bare name, which finds only what is loaded already or on the search path.

        :param own: names of libraries of this package, in the folder of the target
        :param libraries: names of libraries of the ROS installation
        """
        _run([*compiler('c++'), '-shared', '-o', str(target), *map(str, objects),
              f'-Wl,-soname,{target.name}', f'-L{target.parent}', *self.library_folders,
              # beside this file, else in <prefix>/lib of the environment this is installed in
              '-Wl,-rpath,$ORIGIN:$ORIGIN/../../..', '-Wl,--no-as-needed',
              *(f'-l{name}' for name in own), '-Wl,--as-needed',
              *(f'-l{name}' for name in libraries)])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise BuildError('\n'.join([f'failed: {shlex.join(command)}', *lines[:30]]))


def _toolchain(interfaces: Interfaces, folders: dict[str, Path], temp: Path) -> Toolchain:
    from ament_index_python import get_packages_with_prefixes
    import numpy
    prefixes = sorted({Path(prefix) for prefix in get_packages_with_prefixes().values()})
    includes = [folder.parent for folder in folders.values()]
    for prefix in prefixes:
        includes += sorted(path for path in (prefix / 'include').glob('*') if path.is_dir())
        includes.append(prefix / 'include')
    includes += [Path(sysconfig.get_path('include')), Path(numpy.get_include())]
    temp.mkdir(parents=True, exist_ok=True)
    folders_ = tuple(f'-L{prefix / "lib"}' for prefix in prefixes)
    return Toolchain(tuple(f'-I{path}' for path in includes), folders_, temp)


def _sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob('*') if path.suffix in {'.c', '.cpp'})


def build(interfaces: Interfaces, out: Path) -> Built:
    """Generate, compile and link everything below ``out``; raises :class:`BuildError`."""
    require_toolchain()
    shutil.rmtree(out, ignore_errors=True)
    out = out.absolute()
    folders = generate(interfaces, out)
    tools = _toolchain(interfaces, folders, out / 'objects')
    python = out / 'python'
    python.mkdir()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = {name: list(pool.map(tools.compile, _sources(folder)))
                   for name, folder in folders.items()}
    _link_all(interfaces, tools, objects, python)
    _copy_python(folders['rosidl_generator_py'], python)
    share = out / 'idl' / interfaces.package
    kept = (path.relative_to(share) for path in share.rglob('*') if path.is_file())
    return Built(python, share, tuple(sorted(kept)))


def _link_all(interfaces: Interfaces, tools: Toolchain, objects: dict[str, list[Path]],
              python: Path) -> None:
    """Link bottom up: structures, type supports, their dispatcher, the Python extension."""
    package = interfaces.package
    extra = {'rosidl_generator_c': (), 'rosidl_typesupport_c': (),
             'rosidl_typesupport_fastrtps_c': FASTRTPS_LIBRARIES,
             'rosidl_typesupport_introspection_c': INTROSPECTION_LIBRARIES}
    order = ('rosidl_generator_c', *_typesupports(), 'rosidl_typesupport_c')
    linked: list[str] = []
    for name in order:
        theirs = [f'{dependency}__{library}' for dependency in interfaces.dependencies
                  for library in dict.fromkeys((name, 'rosidl_generator_c'))]
        tools.link(python / f'lib{package}__{name}.so', objects[name], linked[:1],
                   [*theirs, *extra[name], *RUNTIME_LIBRARIES])
        linked.append(f'{package}__{name}')
    suffix = sysconfig.get_config_var('EXT_SUFFIX')
    theirs = [f'{dependency}__{name}' for dependency in interfaces.dependencies
              for name in ('rosidl_generator_py', 'rosidl_typesupport_c', 'rosidl_generator_c')]
    tools.link(python / f'{package}_s__rosidl_typesupport_c{suffix}',
               objects['rosidl_generator_py'], linked, [*theirs, *RUNTIME_LIBRARIES])


def _copy_python(generated: Path, python: Path) -> None:
    for path in sorted(generated.rglob('*.py')):
        target = python / path.relative_to(generated)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
