"""Start-up hook of Python: this package gets the `os` and `signal` that Windows has.

Python imports a module of this name whenever it starts, if its directory is on the path. So child
processes lack the names as well. Python's own modules and other packages keep them: those are the
ones for POSIX.
"""

from __future__ import annotations

import builtins
import importlib
import multiprocessing
import types
from collections.abc import Mapping, Sequence
from typing import Any

PACKAGE = "servicex_layer"

# What Python's documentation calls available on Unix, Linux or macOS.
MISSING_NAMES = {
    "os": """
        CLD_CONTINUED CLD_DUMPED CLD_EXITED CLD_KILLED CLD_STOPPED CLD_TRAPPED EFD_CLOEXEC
        EFD_NONBLOCK EFD_SEMAPHORE EX_CANTCREAT EX_CONFIG EX_DATAERR EX_IOERR EX_NOHOST
        EX_NOINPUT EX_NOPERM EX_NOUSER EX_OSERR EX_OSFILE EX_PROTOCOL EX_SOFTWARE EX_TEMPFAIL
        EX_UNAVAILABLE EX_USAGE F_LOCK F_TEST F_TLOCK F_ULOCK GRND_NONBLOCK GRND_RANDOM
        MFD_ALLOW_SEALING MFD_CLOEXEC NGROUPS_MAX O_ACCMODE O_ASYNC O_CLOEXEC O_DIRECT
        O_DIRECTORY O_DSYNC O_EVTONLY O_EXLOCK O_FSYNC O_LARGEFILE O_NDELAY O_NOATIME O_NOCTTY
        O_NOFOLLOW O_NOFOLLOW_ANY O_NONBLOCK O_PATH O_RSYNC O_SHLOCK O_SYMLINK O_SYNC O_TMPFILE
        POSIX_FADV_DONTNEED POSIX_FADV_NOREUSE POSIX_FADV_NORMAL POSIX_FADV_RANDOM
        POSIX_FADV_SEQUENTIAL POSIX_FADV_WILLNEED POSIX_SPAWN_CLOSE POSIX_SPAWN_DUP2
        POSIX_SPAWN_OPEN PRIO_PGRP PRIO_PROCESS PRIO_USER P_ALL P_PGID P_PID P_PIDFD
        RTLD_DEEPBIND RTLD_GLOBAL RTLD_LAZY RTLD_LOCAL RTLD_NODELETE RTLD_NOLOAD RTLD_NOW
        RWF_APPEND RWF_DSYNC RWF_HIPRI RWF_NOWAIT RWF_SYNC SCHED_BATCH SCHED_FIFO SCHED_IDLE
        SCHED_OTHER SCHED_RESET_ON_FORK SCHED_RR SEEK_DATA SEEK_HOLE SPLICE_F_MORE SPLICE_F_MOVE
        SPLICE_F_NONBLOCK ST_APPEND ST_MANDLOCK ST_NOATIME ST_NODEV ST_NODIRATIME ST_NOEXEC
        ST_NOSUID ST_RDONLY ST_RELATIME ST_SYNCHRONOUS ST_WRITE WCONTINUED WCOREDUMP WEXITED
        WEXITSTATUS WIFCONTINUED WIFEXITED WIFSIGNALED WIFSTOPPED WNOHANG WNOWAIT WSTOPPED
        WSTOPSIG WTERMSIG WUNTRACED chflags chown chroot confstr copy_file_range ctermid
        environb eventfd eventfd_read eventfd_write fchdir fchmod fchown fdatasync fork forkpty
        fpathconf fstatvfs fwalk get_blocking getegid getenvb geteuid getgid getgrouplist
        getgroups getloadavg getpgid getpgrp getpriority getrandom getresgid getresuid getsid
        getuid getxattr initgroups killpg lchflags lchmod lchown listxattr lockf login_tty major
        makedev memfd_create minor mkfifo mknod nice openpty pathconf pidfd_open pipe2
        posix_fadvise posix_fallocate posix_spawn posix_spawnp pread preadv pwrite pwritev readv
        register_at_fork removexattr sched_get_priority_max sched_get_priority_min
        sched_getaffinity sched_getparam sched_getscheduler sched_rr_get_interval
        sched_setaffinity sched_setparam sched_setscheduler sched_yield sendfile set_blocking
        setegid seteuid setgid setgroups setpgid setpgrp setpriority setregid setresgid
        setresuid setreuid setsid setuid setxattr spawnlp spawnlpe spawnvp spawnvpe splice
        statvfs sync sysconf tcgetpgrp tcsetpgrp ttyname uname wait wait3 wait4 waitid writev
    """,
    "signal": """
        ITIMER_PROF ITIMER_REAL ITIMER_VIRTUAL ItimerError SIGALRM SIGBUS SIGCHLD SIGCLD SIGCONT
        SIGEMT SIGHUP SIGINFO SIGIO SIGIOT SIGKILL SIGPIPE SIGPOLL SIGPROF SIGPWR SIGQUIT
        SIGRTMAX SIGRTMIN SIGSTKFLT SIGSTOP SIGSYS SIGTRAP SIGTSTP SIGTTIN SIGTTOU SIGURG
        SIGUSR1 SIGUSR2 SIGVTALRM SIGWINCH SIGXCPU SIGXFSZ SIG_BLOCK SIG_SETMASK SIG_UNBLOCK
        alarm getitimer pause pidfd_send_signal pthread_kill pthread_sigmask setitimer
        siginterrupt sigpending sigtimedwait sigwait sigwaitinfo
    """,
    "select": """
        EPOLLIN EPOLLOUT PIPE_BUF POLLIN POLLOUT epoll kevent kqueue poll
    """,
    "time": """
        CLOCK_BOOTTIME CLOCK_MONOTONIC CLOCK_MONOTONIC_RAW CLOCK_PROCESS_CPUTIME_ID
        CLOCK_REALTIME CLOCK_TAI CLOCK_THREAD_CPUTIME_ID CLOCK_UPTIME_RAW clock_getres
        clock_gettime clock_gettime_ns clock_settime clock_settime_ns pthread_getcpuclockid
        tzset
    """,
    "socket": "AF_UNIX MSG_DONTWAIT SO_REUSEPORT recv_fds send_fds sethostname",
}
MISSING_MODULES = [
    "fcntl",
    "grp",
    "posix",
    "pty",
    "pwd",
    "readline",
    "resource",
    "syslog",
    "termios",
    "tty",
]


def _without_missing_names(name: str) -> types.ModuleType:
    original = importlib.import_module(name)
    reduced = types.ModuleType(name, original.__doc__)
    missing = MISSING_NAMES[name].split()
    reduced.__dict__.update(
        {key: value for key, value in vars(original).items() if key not in missing}
    )
    return reduced


_reduced = {name: _without_missing_names(name) for name in MISSING_NAMES}
_import = builtins.__import__


def _import_as_on_windows(
    name: str,
    globals: Mapping[str, Any] | None = None,  # noqa: A002  (names of Python's function)
    locals: Mapping[str, Any] | None = None,  # noqa: A002
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> types.ModuleType:
    package = str((globals or {}).get("__package__")).partition(".")[0]
    if package == PACKAGE and not level:
        first, _, rest = name.partition(".")
        if first in MISSING_MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if first in _reduced and not (rest and fromlist):
            return _reduced[first]
    return _import(name, globals, locals, fromlist, level)


builtins.__import__ = _import_as_on_windows
multiprocessing.set_start_method("spawn", force=True)
