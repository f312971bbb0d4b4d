"""`ssh://[USER@]HOST[:PORT][?python=PATH&accept-new-host-key]` and what it means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from tflite_edge.records.errors import UsageError

FORM = "ssh://[USER@]HOST[:PORT][?python=PATH&accept-new-host-key]"
OPTIONS = ("python", "accept-new-host-key")


@dataclass(frozen=True)
class Address:
    """A host as OpenSSH knows it: a name of the user's ssh config will do.

    port: 0 leaves it to the user's config. python: the interpreter on the board, "" to look for one.
    accept_new: take the key of a host that was never seen before; a changed key is refused all the same.
    """

    host: str
    user: str = ""
    port: int = 0
    python: str = ""
    accept_new: bool = False

    @property
    def place(self) -> str:
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def url(self) -> str:
        """As `--on` takes it, without the options."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh://{self.user}{'@' if self.user else ''}{host}{f':{self.port}' if self.port else ''}"

    @property
    def login(self) -> str:
        """The command with which the user would log in there."""
        return f"ssh {f'-p {self.port} ' if self.port else ''}{self.place}"


def parse(url: str) -> Address:
    """Raises UsageError for anything that is not FORM."""
    try:
        parts = urlsplit(url)
        port = parts.port
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError as error:
        raise _bad(url, str(error)) from error
    host, user = parts.hostname or "", unquote(parts.username or "")
    if parts.scheme != "ssh" or parts.path not in ("", "/") or parts.fragment:
        raise _bad(url, "there is nothing behind the host but options" if parts.scheme == "ssh" else "")
    if parts.password is not None:
        raise _bad(url, "passwords are not taken: use a key and ssh-agent")
    if port == 0:
        raise _bad(url, "there is no port 0")
    # A leading "-" would be an option of ssh (CVE-2017-1000117).
    if not re.fullmatch(r"[\w.:%][\w.:%-]*", host) or not re.fullmatch(r"([\w.][\w.+-]*)?", user):
        raise _bad(url, "the host or user is missing, or has characters that no name has")
    unknown = sorted(set(given) - set(OPTIONS))
    if unknown:
        raise _bad(url, f"no option {unknown[0]!r}; there are {' and '.join(OPTIONS)}")
    if given.get("accept-new-host-key"):
        raise _bad(url, "accept-new-host-key takes no value")
    if "python" in given and not given["python"]:
        raise _bad(url, "python= needs a path")
    # urlsplit makes names small, which ssh aliases are not: take the host as written.
    written = re.search(re.escape(host), parts.netloc.rpartition("@")[2], re.IGNORECASE)
    host = written[0] if written else host
    return Address(host, user, port or 0, given.get("python", ""), "accept-new-host-key" in given)


def _bad(url: str, evidence: str) -> UsageError:
    return UsageError(f"{url!r} is no SSH target", evidence=evidence, do=f"write it as {FORM}")
