"""What the Linux kernel offers to confine a process, by ctypes: namespaces, Landlock, seccomp.

It uses the standard library alone and is loaded by path in the process that is to be confined. Each
function raises OSError where the kernel or its settings do not have the thing; `child` notes that
and goes on.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER = 38, 36
SIGKILL = 9
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_THREAD = 0x10000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2


@functools.cache
def _libc() -> ctypes.CDLL:
    """The C library, loaded at the first use: Windows has none of this name."""
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def prctl(option: int, value: int = 0) -> None:
    """Change something about this process; raises OSError."""
    zero = ctypes.c_ulong(0)
    _checked(_libc().prctl(option, ctypes.c_ulong(value), zero, zero, zero), f"prctl {option}")


# ---------------------------------------------------------------- namespaces


def unshare(flags: int) -> None:
    """Give this process (for CLONE_NEWPID: its children) namespaces of its own; raises OSError."""
    _checked(_libc().unshare(flags), "unshare")


def enter_namespaces() -> bool:
    """Own mounts, processes, network and IPC; as an ordinary user by way of a user namespace; raises OSError.

    Returns whether a user namespace was needed.
    """
    flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        try:
            unshare(flags)
            return False
        except PermissionError:
            pass  # root in a container: the way of the ordinary user may be open
    unshare(flags | CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    return True


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """The system call of that name; raises OSError naming the target."""
    ends = source.encode(), target.encode(), kind.encode() if kind else None
    _checked(_libc().mount(*ends, ctypes.c_ulong(flags), options.encode() or None), f"mount {target}")


def bind_read_only(source: str, target: str) -> None:
    """Show a file or folder at another place, there without write access and setuid; raises OSError."""
    mount(source, target, None, MS_BIND | MS_REC)
    here = os.statvfs(target).f_flag
    kept = here & (os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_NOATIME | os.ST_RELATIME)
    device = 0 if Path(source).is_char_device() else MS_NODEV
    locked = kept & ~(os.ST_NOATIME | os.ST_RELATIME)  # a user namespace may add to these but not take away
    times = (1024 if kept & os.ST_NOATIME else 0) | (1 << 21 if kept & os.ST_RELATIME else 0)
    mount(source, target, None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | device | locked | times)


def build_root(
    base: str,
    read: Sequence[str],
    links: Sequence[tuple[str, str]],
    scratch: str,
    disk: int,
    entries: int,
    owner: int,
) -> None:
    """Make of `base` a root folder with `read`, not writable, and an empty `scratch`; raises OSError.

    `scratch` is in memory: at most `disk` bytes in `entries` files and folders.
    """
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", base, "tmpfs", MS_NOSUID | MS_NODEV, "size=4m,mode=755")
    devices = [f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom")]
    for path in [*read, *devices]:
        target = Path(base + path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if Path(path).is_dir():
            target.mkdir(exist_ok=True)
        else:
            target.touch()
        bind_read_only(path, str(target))
    for path, leads_to in links:
        Path(base + path).parent.mkdir(parents=True, exist_ok=True)
        Path(base + path).symlink_to(leads_to)
    Path(base + "/proc").mkdir()
    mount("proc", base + "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    Path(base + scratch).mkdir(parents=True)
    limits = f"size={disk},nr_inodes={entries},mode=700,uid={owner},gid={owner}"
    mount("tmpfs", base + scratch, "tmpfs", MS_NOSUID | MS_NODEV, limits)
    os.chdir(base)
    _checked(_libc().syscall(_number("pivot_root"), b".", b"."), "pivot_root")
    _checked(_libc().umount2(b".", MNT_DETACH), "umount")
    mount("none", "/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


# ---------------------------------------------------------------- Landlock

_READ_FILES, _READ_FOLDERS, _EXECUTE = 1 << 2, 1 << 3, 1 << 0
_OF_FILES = (1 << 0) | (1 << 1) | (1 << 2) | (1 << 14) | (1 << 15)  # execute, write, read, truncate, ioctl
_RIGHTS_OF_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many of the file-system rights a version knows


def landlock_version() -> int:
    """The version of Landlock's interface here; raises OSError where the kernel has none."""
    return _checked(_libc().syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint(1)), "Landlock")


def landlock(read: Iterable[str], listed: Iterable[str], write: Iterable[str]) -> None:
    """Deny this process, for ever, all files but these, TCP, and signals to others; raises OSError.

    Of the folders in `listed` it sees what names they hold.
    """
    version = landlock_version()
    rights = (1 << _RIGHTS_OF_ABI.get(version, 16)) - 1
    attributes = struct.pack("QQQ", rights, 3, 3)[: 8 if version < 4 else 16 if version < 6 else 24]
    size = ctypes.c_size_t(len(attributes))
    ruleset = _checked(_libc().syscall(444, attributes, size, ctypes.c_uint(0)), "Landlock")
    granted = ((read, _READ_FILES | _READ_FOLDERS | _EXECUTE), (listed, _READ_FOLDERS), (write, rights))
    for paths, allowed in granted:
        for path in filter(os.path.exists, paths):
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            mask = allowed if os.path.isdir(path) else allowed & _OF_FILES & rights
            rule = struct.pack("=Qi", mask, place)
            _checked(
                _libc().syscall(445, ruleset, ctypes.c_int(1), rule, ctypes.c_uint(0)), f"Landlock: {path}"
            )
            os.close(place)
    _checked(_libc().syscall(446, ruleset, ctypes.c_uint(0)), "Landlock")
    os.close(ruleset)


# ---------------------------------------------------------------- seccomp

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_CALLS: dict[str, tuple[int | None, int | None]] = {  # numbers on x86_64 and on aarch64
    "fork": (57, None), "vfork": (58, None), "clone": (56, 220), "clone3": (435, 435),
    "socket": (41, 198), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "userfaultfd": (323, 282), "bpf": (321, 280),
    "perf_event_open": (298, 241), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "io_uring_setup": (425, 425), "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438), "kill": (62, 129), "tkill": (200, 130),
    "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "shmget": (29, 194),
    "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "mount_setattr": (442, 442), "kexec_load": (246, 104),
    "init_module": (175, 105), "finit_module": (313, 273), "reboot": (169, 142), "prlimit64": (302, 261),
    "setpriority": (141, 140), "open_by_handle_at": (304, 265), "swapon": (167, 224), "acct": (163, 89),
}  # fmt: skip
_TO_ONESELF = ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "prlimit64")
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF instructions on 32-bit words
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x50000


def _number(name: str) -> int:
    column = _ARCHITECTURES.get(platform.machine(), (None, 0))[0]
    number = _CALLS[name][column] if column is not None else None
    if number is None:
        raise OSError(errno.ENOSYS, f"no {name} on {platform.machine()}")
    return number


def _filter(pid: int) -> bytes:
    """The program: no new process, no socket, no signal to others, no way in by a side door."""
    column, architecture = _ARCHITECTURES[platform.machine()]
    program = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    if column == 0:
        program += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL)]  # the x32 doubles of all calls
    for name, numbers in _CALLS.items():
        number = numbers[column]
        if number is None:
            continue
        denied = (_RETURN, 0, 0, _ERROR | errno.EPERM)
        if name == "clone3":  # its flags are out of a filter's sight; the C library falls back on clone
            body = [(_RETURN, 0, 0, _ERROR | errno.ENOSYS)]
        elif name == "clone":
            body = [(_LOAD, 0, 0, 16), (_ANY_BIT, 1, 0, CLONE_THREAD), denied, (_RETURN, 0, 0, _ALLOW)]
        elif name in _TO_ONESELF:
            own = [
                (_EQUAL, 2, 0, pid),
                (_EQUAL, 1, 0, 0 if name == "prlimit64" else pid),
            ]  # prlimit: 0 is oneself
            body = [(_LOAD, 0, 0, 16), *own, denied, (_RETURN, 0, 0, _ALLOW)]
        else:
            body = [denied]
        program += [(_EQUAL, 0, len(body), number), *body]
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)


def seccomp() -> None:
    """Deny this process, for ever, new processes, sockets, signals to others and the like; raises OSError."""
    if platform.machine() not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"no seccomp filter is written for {platform.machine()}")
    program = ctypes.create_string_buffer(_filter(os.getpid()))
    length = (len(program) - 1) // 8
    pointer = struct.pack("HxxxxxxP", length, ctypes.addressof(program))
    _checked(_libc().prctl(PR_SET_SECCOMP, 2, ctypes.c_char_p(pointer), 0, 0), "seccomp")


def drop_capabilities() -> None:
    """Give up what root may do beyond an ordinary user, also over `exec`; raises OSError."""
    for capability in range(int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1):
        prctl(PR_CAPBSET_DROP, capability)
    header = struct.pack("II", 0x20080522, 0)
    number = {"x86_64": 126, "aarch64": 91}.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"no capset on {platform.machine()}")
    _checked(_libc().syscall(number, header, bytes(24)), "capset")
