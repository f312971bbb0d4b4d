"""A real OpenSSH server on loopback, as an ordinary process with keys and a home of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
PidFile {folder}/pid
AuthorizedKeysFile {folder}/authorized
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
PermitRootLogin yes
MaxStartups 50
ForceCommand {folder}/login
"""
# The board's home and PATH; whatever is in bin/ goes before the machine's own.
LOGIN = """#!/bin/sh
export HOME={home} PATH={folder}/bin:/usr/bin:/bin
unset PYTHONPATH TFLITE_EDGE_CACHE
cd
exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"""
CLIENT = """#!/bin/sh
exec {ssh} -F {folder}/client "$@"
"""
CLIENT_CONFIG = """
Host 127.0.0.1 board
  HostName 127.0.0.1
  Port {port}
  IdentityFile {folder}/key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known
"""


def sshd_path() -> str | None:
    return shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


class Server:
    """An sshd in `folder`. bin: where its programs are put. client: the folder of an `ssh` that knows it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.bin, self.client = folder, folder / "home", folder / "bin", folder / "path"
        for made in (self.home, self.bin, self.client):
            made.mkdir()
        self.key("host")
        self.key("key")
        shutil.copy(folder / "key.pub", folder / "authorized")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.script(folder / "login", LOGIN.format(home=self.home, folder=folder))
        self.script(self.client / "ssh", CLIENT.format(ssh=shutil.which("ssh"), folder=folder))
        (folder / "client").write_text(CLIENT_CONFIG.format(folder=folder, port=self.port))
        self.python(sys.executable)
        self.trust()
        self.start()

    @property
    def url(self) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"

    def key(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name], check=True)

    def trust(self) -> None:
        public = (self.folder / "host.pub").read_text()
        (self.folder / "known").write_text(f"[127.0.0.1]:{self.port} {public}")

    def script(self, path: Path, text: str) -> Path:
        path.write_text(text)
        path.chmod(0o755)
        return path

    def python(self, *argv: str) -> None:
        """What `python3` is on the board."""
        words = " ".join(f"'{word}'" for word in argv)
        self.script(self.bin / "python3", f'#!/bin/sh\nexec {words} "$@"\n')

    def start(self) -> None:
        (self.folder / "config").write_text(CONFIG.format(port=self.port, folder=self.folder))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd wants it of root, and as a rule init makes it
        self.log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [str(sshd_path()), "-D", "-e", "-f", str(self.folder / "config")],
            stderr=self.log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    def sessions(self) -> list[int]:
        """The processes of sshd that serve a connection, and what these have started."""
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            try:
                words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            except OSError:
                continue
            found += map(int, words)
            todo += map(int, words)
        return found

    def cut(self) -> None:
        """Break every connection, as when the board loses its network."""
        for pid in self.sessions():
            with suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip().startswith("sshd"):
                    os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        self.cut()
        self.process.kill()
        self.process.wait()
        self.log.close()
