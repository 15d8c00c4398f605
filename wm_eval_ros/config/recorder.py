"""Settings of the recorder."""

from __future__ import annotations

from dataclasses import dataclass

from wm_eval_ros.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class RecorderSettings:
    """The recorder."""

    exclude: tuple[str, ...] = setting((), doc='topics of the interface that are not recorded')
    queue_mib: float = setting(
        128.0, doc='room for messages that wait for the disk; what does not fit is dropped and '
        'counted', unit='MiB', low=1.0)
    min_free_gib: float = setting(
        1.0, doc='with less free space the recording ends and the run with it, exit code 74; the '
        'larger of this and min_free_share holds', unit='GiB', low=0.0)
    min_free_share: float = setting(
        0.02, doc='the same as a share of the file system', low=0.0, high=1.0)
    stall_s: float = setting(
        10.0, doc='when the disk has not answered for so long the recording ends and the run with '
        'it, exit code 74', unit='s', low=1.0)
    audit: bool = setting(
        True, doc='chain every message by its hash, with checkpoints in the bag and beside it in '
        'audit.jsonl, so that `wm-eval verify` sees every later change')
    signing_key: str = setting(
        '', doc='file of an Ed25519 private key (PEM or OpenSSH) that signs the checkpoints; '
        'empty: unsigned; needs the extra audit')
