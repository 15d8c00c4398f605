"""The error tree: every class carries the exit code of the command that it ends."""

from __future__ import annotations

#: the gate held
EXIT_PASS = 0
#: a gate failed
EXIT_FAIL = 1
#: the input was refused: one line says what, where and what would do
EXIT_BAD_INPUT = 2
#: the evidence does not decide
EXIT_INCONCLUSIVE = 3
#: `recover`: some of the bag is lost; nothing of it could be read
EXIT_LOSSY = 3
EXIT_NOTHING = 1
#: a node of the run died or did not come up
EXIT_RUN_FAILED = 4
#: the disk or device refused to take the record (sysexits.h EX_IOERR)
EXIT_IO = 74
#: ended by SIGINT
EXIT_INTERRUPTED = 130


class WmEvalError(Exception):
    """Anything that ends a command with one line instead of a traceback."""

    exit_code = EXIT_BAD_INPUT


class ConfigError(WmEvalError):
    """A setting, scenario or topic map that is not of its schema."""


class UnknownNameError(WmEvalError):
    """A task, model, planner or other plug-in nobody registered."""


class MissingExtraError(WmEvalError):
    """An optional dependency is not installed; the message names the extra."""


class PluginError(WmEvalError):
    """A plug-in raised something of its own while it was loaded or made."""


class BagError(WmEvalError):
    """A bag that cannot be read, or does not hold what was asked of it."""


class FieldPathError(WmEvalError):
    """A field path that does not fit the message it is read from."""


class CheckpointError(WmEvalError):
    """A checkpoint whose hash, shapes or interface do not fit."""


class CalibrationError(WmEvalError):
    """A calibration that is damaged, of another model or task, or made of too few runs."""


class SecurityError(WmEvalError):
    """A key, signature or security policy that is missing or does not fit."""


class RunError(WmEvalError):
    """A node of the run died, or a topic or node never came."""

    exit_code = EXIT_RUN_FAILED


class RecordingError(WmEvalError):
    """The recorder could not write."""

    exit_code = EXIT_IO
