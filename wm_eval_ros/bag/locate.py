"""Find the storage files of a bag, and open each as what it is."""

from __future__ import annotations

from pathlib import Path
import shutil
from tempfile import TemporaryDirectory

from wm_eval_ros.bag.mcap_file import McapFile
from wm_eval_ros.bag.mcap_record import MAGIC as MCAP_MAGIC
from wm_eval_ros.bag.message import Damage, MAX_BYTES, MAX_RATIO, SMALL_BYTES, StorageFile
from wm_eval_ros.bag.metadata import Metadata, read_metadata
from wm_eval_ros.bag.metadata import NAME as METADATA
from wm_eval_ros.bag.sqlite_file import MAGIC as SQLITE_MAGIC
from wm_eval_ros.bag.sqlite_file import SqliteFile
from wm_eval_ros.config.bounded import open_regular, shown
from wm_eval_ros.errors import BagError

_ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
_SUFFIXES = ('.mcap', '.db3', '.mcap.zstd', '.db3.zstd')
#: a decompressed storage file is at most this large [bytes]
_MAX_FILE_BYTES = 64 << 30
_COPY_BYTES = 1 << 20


def contents(path: Path, damage: Damage) -> tuple[Metadata | None, list[Path]]:
    """
    Return the metadata of a bag, if there is one, and its storage files in their order.

    :param path: folder with metadata.yaml, or a storage file
    :param damage: takes what is missing
    :raises BagError: no bag, or in other than salvage one that was not closed
    """
    if not path.exists():
        raise BagError(f'{path}: there is no such file or folder')
    if path.is_file():
        return None, [path]
    if not path.is_dir():
        raise BagError(f'{path}: neither a file nor a folder; give a rosbag2 folder or its file')
    if (path / METADATA).exists():
        metadata = read_metadata(path)
        return metadata, _listed(path, metadata, damage)
    found = sorted((inside(p, path) for p in path.iterdir() if p.name.endswith(_SUFFIXES)),
                   key=_split_number)
    if not found:
        raise BagError(f'{path}: no bag: it holds neither {METADATA} nor a storage file '
                       f'({", ".join(_SUFFIXES)})')
    damage.found(f'{path}: no {METADATA}, so it was not closed; it holds '
                 f'{", ".join(p.name for p in found)}: read it with --salvage, or write it anew '
                 'with `wm-eval recover`')
    return None, found


class Scratch:
    """A folder of the temporary files of one bag, made when it is needed."""

    def __init__(self) -> None:
        """Begin without one."""
        self._folder: TemporaryDirectory[str] | None = None

    @property
    def folder(self) -> Path:
        """The folder."""
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix='wm_eval_ros_')
        return Path(self._folder.name)

    def close(self) -> None:
        """Remove it with all that is in it."""
        if self._folder is not None:
            self._folder.cleanup()


def open_file(path: Path, scratch: Scratch, *, salvage: bool) -> StorageFile:
    """
    Open a storage file by its first bytes; one in zstd is decompressed first.

    :param scratch: takes what is decompressed
    :raises BagError: no storage file, or damaged
    """
    head = _head(path)
    if head.startswith(_ZSTD_MAGIC):
        path = _decompressed(path, scratch.folder)
        head = _head(path)
    if head.startswith(MCAP_MAGIC):
        return McapFile(path, salvage=salvage)
    if head.startswith(SQLITE_MAGIC):
        return SqliteFile(path, salvage=salvage)
    what = 'an empty file' if not head else 'neither MCAP nor sqlite3'
    raise BagError(f'{path}: no bag: {what}')


def _listed(path: Path, metadata: Metadata, damage: Damage) -> list[Path]:
    if not metadata.files:
        raise BagError(f'{path}: empty: {METADATA} lists no storage file')
    if metadata.compression_format not in ('', 'zstd'):
        raise BagError(f'{path}: compression {metadata.compression_format!r}; zstd is read')
    files = []
    for listed in metadata.files:
        # old bags list the folder too
        name = Path(listed).name
        if Path(listed).is_absolute() or '..' in Path(listed).parts or not name:
            raise BagError(f'{path}: {METADATA} lists {shown(listed)}, which is not in the folder '
                           'of the bag; nothing outside of it is opened')
        there = [p for p in (path / name, path / f'{name}.zstd') if p.is_file()]
        if there:
            files.append(inside(there[0], path))
        else:
            damage.found(f'{path}: {METADATA} lists {name}, which is not there; restore it, or '
                         'read the rest with --salvage')
    if not files:
        raise BagError(f'{path}: none of its storage files is there')
    return files


def inside(file: Path, folder: Path) -> Path:
    """
    Return the file; one in a bag's folder may be a link, but not to somewhere else.

    :raises BagError: it leads out of the folder
    """
    if not file.resolve().is_relative_to(folder.resolve()):
        raise BagError(f'{file}: a link to {file.resolve()}, which is not in the folder of the '
                       'bag; give that file itself')
    return file


def _split_number(path: Path) -> tuple[int, str]:
    """Order split files by their number: ``bag_10`` after ``bag_9``."""
    digits = path.name.split('.')[0].rpartition('_')[2]
    return (int(digits) if digits.isascii() and digits.isdigit() else 0, path.name)


def _head(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read(len(SQLITE_MAGIC))
    except OSError as error:
        raise BagError(f'{path}: cannot be read ({error.strerror or error})') from None


def _decompressed(path: Path, folder: Path) -> Path:
    """Decompress a storage file next to others in the folder, within the limits of size."""
    import zstandard
    packed = path.stat().st_size
    with path.open('rb') as source:
        declared = zstandard.frame_content_size(source.read(18))
    if declared > 0:
        _check_size(path, declared, packed)
        _check_space(path, declared, folder)
    target = folder / path.name.removesuffix('.zstd')
    written = 0
    try:
        with path.open('rb') as source, target.open('wb') as sink:
            for block in zstandard.ZstdDecompressor().read_to_iter(source, write_size=_COPY_BYTES):
                written += len(block)
                _check_size(path, written, packed)
                if declared <= 0 and written > MAX_BYTES:
                    raise BagError(f'{path}: declares no size and has more than {MAX_BYTES} '
                                   'bytes; decompress it with `zstd -d`')
                sink.write(block)
    except (zstandard.ZstdError, OSError) as error:
        raise BagError(f'{path}: not decompressed ({error})') from None
    if declared > 0 and written != declared:
        raise BagError(f'{path}: {written} of {declared} bytes; it is cut off')
    return target


def _check_space(path: Path, size: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise BagError(f'{path}: {size} bytes when decompressed, and {free} are free in {folder}; '
                       'make room there, or name another folder in TMPDIR')


def _check_size(path: Path, size: int, packed: int) -> None:
    if size > _MAX_FILE_BYTES:
        raise BagError(f'{path}: declares {size} bytes; at most {_MAX_FILE_BYTES} are read')
    if size > max(MAX_RATIO * packed, SMALL_BYTES):
        raise BagError(f'{path}: {size} bytes or more out of {packed} compressed ones; at most '
                       f'{MAX_RATIO} to 1 are read')
