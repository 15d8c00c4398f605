"""No bag twice: what is held out of one copy would be learnt from the other."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
import os
from pathlib import Path

from wm_eval_ros.errors import BagError


def require_different_places(paths: Sequence[Path]) -> None:
    """
    Refuse one place that is given twice, however it is spelt; nothing is read.

    :raises BagError: names it, and how it was given first
    """
    _require(paths, map(os.path.realpath, paths))


def require_different_contents(paths: Sequence[Path], contents: Iterable[Hashable]) -> None:
    """
    Refuse copies.

    :param contents: of each path, what identifies what was read of it
    :raises BagError: names the second, and what it is a copy of
    """
    _require(paths, contents)


def _require(paths: Sequence[Path], keys: Iterable[Hashable]) -> None:
    seen: dict[Hashable, Path] = {}
    for path, key in zip(paths, keys, strict=True):
        if key in seen:
            also = '' if seen[key] == path else f', first as {seen[key]}'
            raise BagError(f'{path}: is given twice{also}; its episodes would count double')
        seen[key] = path
