"""Tables as Parquet files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wm_eval_ros.errors import MissingExtraError, RecordingError
from wm_eval_ros.report.exports.tables import Table, TABLES_SCHEMA


def write_parquet(folder: Path, tables: Mapping[str, Table], manifest: str) -> list[Path]:
    """
    Write one file a table, with the manifest as JSON in the metadata of each.

    :param folder: made where it is not there; files of the same names are replaced
    :raises MissingExtraError: pyarrow is not installed
    :raises RecordingError: the folder cannot be written
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("--parquet: pyarrow is not installed: "
                                "pip install 'wm_eval_ros[parquet]'") from None
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            path = folder / f'{name}.parquet'
            parquet.write_table(_arrow(table, manifest), path, compression='zstd')
            written.append(path)
    except OSError as error:
        raise RecordingError(f'{folder}: cannot be written ({error.strerror or error})') from None
    return written


def _arrow(table: Table, manifest: str) -> Any:
    import pyarrow
    arrays = {name: pyarrow.array(column.values, mask=column.absent)
              if len(column.values) else _nothing(column.values)
              for name, column in table.items()}
    return pyarrow.table(arrays).replace_schema_metadata({
        'wm_eval_ros.schema_version': str(TABLES_SCHEMA), 'wm_eval_ros.manifest': manifest})


def _nothing(values: Any) -> Any:
    """Return a column without rows, of the type it has with some."""
    import pyarrow
    kind = getattr(values, 'dtype', None)
    return pyarrow.array([], pyarrow.string() if kind is None else pyarrow.from_numpy_dtype(kind))
