"""Installation with pip, with or without a ROS 2 distribution; colcon uses CMakeLists.txt."""

from pathlib import Path
import sys

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from build_support.commands import Build, BuildMessages, InstallData, MessageDistribution  # noqa: E402
from build_support.manifest import core_requirements, extras, read_manifest  # noqa: E402

manifest = read_manifest(ROOT)

setup(
    name=manifest.name,
    version=manifest.version,
    description=manifest.description,
    license=manifest.license,
    maintainer=manifest.maintainer,
    maintainer_email=manifest.maintainer_email,
    # Not in setup.cfg: colcon's reader of that file stops at it.
    python_requires='>=3.10',
    install_requires=core_requirements(manifest),
    extras_require=extras(manifest),
    packages=find_packages(include=[manifest.name, f'{manifest.name}.*']),
    # Explicit, so that an editable installation is a plain path and not an import hook: the
    # built messages are a second portion of the package and the path finder merges them.
    package_dir={'': '.'},
    package_data={manifest.name: [
        'py.typed', 'checkpoints/**/*', 'plants/assets/**/*.xml', 'report/**/*.html',
        'report/**/*.js', 'report/**/*.css']},
    # At least one entry, or setuptools skips the step that adds the generated ones.
    data_files=[(f'share/{manifest.name}', ['LICENSE'])],
    zip_safe=False,
    distclass=MessageDistribution,
    cmdclass={'build': Build, 'build_messages': BuildMessages, 'install_data': InstallData},
)
