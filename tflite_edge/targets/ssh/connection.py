"""Commands on another machine through the user's own OpenSSH client: config, agent, jump hosts, known hosts."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tflite_edge.records.errors import MissingError, TargetError
from tflite_edge.targets.ssh.address import Address

CONNECT_S = 15
LOST = 255  # the exit status that ssh keeps for its own failures
GRACE_S = 5.0
TAIL = 2000  # characters of stderr in an error


class Done(NamedTuple):
    status: int
    answer: bytes
    talk: str


class LostError(TargetError):
    """The connection could not be made or broke. again: trying once more may help."""

    again = True


class RefusedError(LostError):
    """The host, or our own check of it, said no: trying again changes nothing."""

    again = False


class Connection:
    """One shared connection (ControlMaster) to `address`; its socket is in a private folder with a short path."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.program = shutil.which("ssh")
        if self.program is None:
            raise MissingError("the OpenSSH client is not installed", do="sudo apt install openssh-client")
        # Socket paths end at 108 characters: not below a long TMPDIR.
        base = None if len(tempfile.gettempdir()) < 40 else "/tmp"  # noqa: S108 - mkdtemp makes it private
        self.folder = Path(tempfile.mkdtemp(prefix="te-ssh-", dir=base))
        self._closing = weakref.finalize(self, _close, self.argv(), self.folder)

    def argv(self) -> list[str]:
        """ssh with its options and the host: add the command."""
        keys = "accept-new" if self.address.accept_new else "yes"
        options = {
            "BatchMode": "yes", "StrictHostKeyChecking": keys, "ConnectTimeout": CONNECT_S, "ControlMaster": "auto",
            "ControlPath": self.folder / "s", "ControlPersist": 60, "ServerAliveInterval": 5, "ServerAliveCountMax": 4,
            "ForwardAgent": "no", "ForwardX11": "no", "ClearAllForwardings": "yes", "RequestTTY": "no",
            "PermitLocalCommand": "no", "RemoteCommand": "none", "LogLevel": "INFO",
        }  # fmt: skip
        port = ["-p", str(self.address.port)] if self.address.port else []
        flags = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return [str(self.program), *flags, *port, "--", self.address.place]

    def run(
        self, script: str, arguments: Sequence[str] = (), *, data: bytes | Path = b"", hold: bool = False,
        deadline_s: float = 60.0,
    ) -> Done:  # fmt: skip
        """`sh -c script arguments` there, with `data` (bytes, or a file's) on its stdin.

        hold: keep stdin open to the end, so that the script can tell by its end that we are gone. Raises LostError or
        RefusedError where there is no connection, and TargetError after the deadline. No process stays here.
        """
        # The login shell may be any: it gets words in single quotes only.
        command = " ".join(shlex.quote(word) for word in ("sh", "-c", script, "sh", *arguments))
        talk = self.folder / "stderr"
        with tempfile.TemporaryFile(dir=self.folder) as answer, talk.open("wb") as stderr:
            feed = data.open("rb") if isinstance(data, Path) else None
            try:
                child = subprocess.Popen(
                    [*self.argv(), command], stdin=feed or subprocess.PIPE, stdout=answer, stderr=stderr,
                    start_new_session=True,
                )  # fmt: skip
            finally:
                if feed:
                    feed.close()
            try:
                _feed(child, b"" if isinstance(data, Path) else data, hold)
                child.wait(deadline_s)
            except subprocess.TimeoutExpired as error:
                raise TargetError(
                    f"{self.address.url} did not finish within {deadline_s:g} s and was stopped",
                    evidence=_tail(talk),
                    do="raise the deadline, ask for fewer runs or images, or look after the board",
                ) from error
            finally:
                if child.stdin:
                    child.stdin.close()
                if child.returncode is None:
                    child.kill()  # not its group: the shared connection is in it
                    child.wait(GRACE_S)
            answer.seek(0)
            done = Done(child.returncode, answer.read(), _tail(talk))
        if done.status == LOST or done.status < 0:
            raise explain(self.address, done.talk)
        return done

    def close(self) -> None:
        self._closing()

    def reset(self) -> None:
        """Forget a master whose connection broke, so that the next run makes a new one."""
        _leave(self.argv())
        (self.folder / "s").unlink(missing_ok=True)


def _feed(child: subprocess.Popen[bytes], data: bytes, hold: bool) -> None:
    if child.stdin is None:
        return
    try:
        child.stdin.write(data)
        child.stdin.flush()
        if not hold:
            child.stdin.close()
    except BrokenPipeError:  # it died: its exit status says why
        pass


def _tail(path: Path) -> str:
    return path.read_bytes().decode(errors="replace").replace("\r", "").strip()[-TAIL:]


def _leave(argv: Sequence[str]) -> None:
    subprocess.run(
        [*argv[:-2], "-O", "exit", *argv[-2:]], check=False, timeout=GRACE_S, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _close(argv: Sequence[str], folder: Path) -> None:
    if (folder / "s").exists():
        _leave(argv)
    shutil.rmtree(folder, ignore_errors=True)


def explain(address: Address, talk: str) -> LostError:
    """What ssh's own words (exit status 255) mean and what to do about it."""
    if "IDENTIFICATION HAS CHANGED" in talk:
        return RefusedError(
            f"the host key of {address.url} has changed",
            evidence=talk,
            do=f"if the board was set up anew: ssh-keygen -R {_known_as(address)}, then {address.login} and compare "
            "the fingerprint; if it was not, another machine answers in its place",
        )
    if "Host key verification failed" in talk or "host key is known" in talk:
        return RefusedError(
            f"the host key of {address.url} is not known",
            evidence=talk,
            do=f"{address.login} once and compare the fingerprint, or trust it unseen: "
            f"--on '{address.url}?accept-new-host-key'",
        )
    if "Permission denied" in talk:
        return RefusedError(
            f"{address.url} does not let us in",
            evidence=talk,
            do=f"ssh-copy-id {address.login.removeprefix('ssh ')}, or ssh-add the key that it knows",
        )
    if "Could not resolve" in talk:
        return RefusedError(
            f"there is no host {address.host!r}", evidence=talk, do="look at its name, or give its address"
        )
    return LostError(
        f"no connection to {address.url}",
        evidence=talk,
        do=f"is the board on and in this network? {address.login} must work without a password",
    )


def _known_as(address: Address) -> str:
    return f"'[{address.host}]:{address.port}'" if address.port not in (0, 22) else address.host
