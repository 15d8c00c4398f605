"""What on this machine spoils a latency, and what to do about it: `wm-eval doctor --realtime`."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import time

from wm_eval_ros.cli.doctor import Finding
from wm_eval_ros.nodes.machine import governors, in_container, text_of

#: sleeps of 1 ms that the timers are tried with
SLEEPS = 1500
#: share of them that may last longer than this, and how long [ms]
_SHARE, _OVER_MS = 0.99, 0.5
#: least receive buffer of a socket that takes an image of 640 x 480 in one go [bytes]
_BUFFER = 2 * 2**20
#: least room of shared memory for the segments of a run's processes [bytes]
_SHARED = 64 * 2**20
#: priority that is asked for on trial
_PRIORITY = 10


def findings() -> list[Finding]:
    """Look at kernel, processors, permissions, memory, timers and sockets."""
    return [_kernel(), _governor(), _priority(), _throttling(), _locking(), _swap(), _pages(),
            _quota(), _timers(), _buffers(), _shared_memory()]


def _warned(name: str, good: bool, found: str, remedy: str) -> Finding:
    """Return a finding that makes figures worse and keeps nothing from working."""
    return Finding(name, good, found, '' if good else remedy, needed=False)


def _kernel() -> Finding:
    name = os.uname()
    good = text_of('/sys/kernel/realtime') == '1' or 'PREEMPT_RT' in name.version
    kind = next((word for word in ('PREEMPT_RT', 'PREEMPT_DYNAMIC', 'PREEMPT')
                 if word in name.version), 'no preemption named')
    return _warned('kernel', good, f'{name.release}, {kind}',
                   'a kernel with PREEMPT_RT has shorter worst cases')


def _governor() -> Finding:
    found = governors()
    if not found:
        return _warned('CPU governor', True, 'not known: the kernel shows none', '')
    return _warned('CPU governor', found == ['performance'], ', '.join(found),
                   'cpupower frequency-set -g performance: a clock that rises on demand is late')


def _tried(code: str) -> bool:
    """Say whether a process of its own may do something."""
    done = subprocess.run([sys.executable, '-S', '-c', code], capture_output=True, check=False,
                          timeout=30)
    return done.returncode == 0


def _priority() -> Finding:
    good = _tried('import os; os.sched_setscheduler(0, os.SCHED_FIFO, '
                  f'os.sched_param({_PRIORITY}))')
    return _warned('SCHED_FIFO', good, 'allowed' if good else 'not allowed',
                   f'rtprio {_PRIORITY + 5} in /etc/security/limits.conf, or CAP_SYS_NICE; then '
                   'realtime_priority: true')


def _throttling() -> Finding:
    runtime, period = (text_of(f'/proc/sys/kernel/sched_rt_{word}_us')
                       for word in ('runtime', 'period'))
    if not runtime or not period:
        return _warned('real-time throttling', True, 'not known', '')
    good = runtime == '-1' or runtime == period
    return _warned('real-time throttling', good, f'{runtime} of {period} us',
                   'a busy SCHED_FIFO process stands still for the rest: sysctl '
                   'kernel.sched_rt_runtime_us=-1, if nothing can run away')


def _locking() -> Finding:
    good = _tried('import ctypes, sys; sys.exit(ctypes.CDLL(None).mlockall(7) != 0)')
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    limit = 'no limit' if soft == resource.RLIM_INFINITY else f'limit {soft // 1024} KiB'
    return _warned('locked memory', good, f'{"allowed" if good else "not allowed"}, {limit}',
                   'memlock unlimited in /etc/security/limits.conf; then lock_memory: true')


def _swap() -> Finding:
    lines = text_of('/proc/swaps').splitlines()[1:]
    return _warned('swap', not lines, 'none' if not lines else f'{len(lines)} in use',
                   'swapoff -a, or lock_memory: true')


def _pages() -> Finding:
    chosen = re.search(r'\[(\w+)\]', text_of('/sys/kernel/mm/transparent_hugepage/enabled'))
    word = 'not known' if chosen is None else chosen[1]
    return _warned('transparent huge pages', word != 'always', word,
                   'madvise in /sys/kernel/mm/transparent_hugepage/enabled: their making stalls')


def _quota() -> Finding:
    quota = text_of('/sys/fs/cgroup/cpu.max').split()
    where = 'in a container' if in_container() else 'no container seen'
    limited = len(quota) == 2 and quota[0] != 'max'
    return _warned('CPU quota', not limited,
                   f'{where}, {" of ".join(quota)} us' if limited else f'{where}, none',
                   'a quota that is used up stops every thread for the rest of its period: give '
                   'CPUs (cpuset) in its place')


def overshoots(count: int = SLEEPS) -> list[float]:
    """Return by how much so many sleeps of 1 ms lasted longer [ms], sorted."""
    found = []
    for _ in range(count):
        begun = time.monotonic_ns()
        time.sleep(0.001)
        found.append((time.monotonic_ns() - begun) / 1e6 - 1.0)
    return sorted(found)


def _timers() -> Finding:
    found = overshoots()
    high, most = found[int(_SHARE * len(found))], found[-1]
    return _warned('timers', high < _OVER_MS,
                   f'{len(found)} sleeps of 1 ms end {high:.2f} ms late at p99, {most:.2f} at '
                   'most',
                   'something else runs on these cores: an idle machine, pinned_cpus, '
                   'realtime_priority')


def _buffers() -> Finding:
    found = text_of('/proc/sys/net/core/rmem_max')
    good = not found.isdigit() or int(found) >= _BUFFER
    return _warned('socket buffers', good, f'net.core.rmem_max {found or "not known"}',
                   f'sysctl net.core.rmem_max={_BUFFER}: images over a network lose fragments')


def _shared_memory() -> Finding:
    try:
        free = shutil.disk_usage('/dev/shm').free
    except OSError:
        return _warned('shared memory', False, 'no /dev/shm',
                       'mount it: between processes of one host DDS falls back to the network')
    return _warned('shared memory', free >= _SHARED, f'{free // 2**20} MiB free in /dev/shm',
                   'give the container --shm-size=256m, or clear it')
