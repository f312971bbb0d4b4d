"""Packages of another architecture through the machine's own apt, without root: its state lies in a folder of ours.

apt checks the signature of the index by the keyring, and every package by the index.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from tflite_edge.records.errors import MissingError
from tflite_edge.records.event import Event, Listener

SUITE = "bookworm"  # Debian 12, which Raspberry Pi OS Bookworm is made of
MIRROR = "http://deb.debian.org/debian"
SOURCES = Path("/etc/apt")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PLACES = (SUITE, f"{SUITE}-updates", f"{SUITE}-security")
LONGEST_S = 600.0

# Read after the machine's own settings, so that its proxies hold and its hooks do not run.
SETTINGS = """#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
#clear DPkg::Pre-Install-Pkgs;
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "";
APT::Get::AllowUnauthenticated "false";
APT::Update::Error-Mode "any";
Acquire::AllowInsecureRepositories "false";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Etc::SourceList "{folder}/debian.sources";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
"""


@dataclass(frozen=True)
class Part:
    """One file that goes into a sysroot: a package or a wheel, named as its maker names it."""

    name: str
    version: str
    file: str
    sha256: str


class Apt:
    """apt for one architecture: the index is read when it is made. folder: for its state and the packages."""

    def __init__(self, folder: Path, architecture: str, mirror: str, listen: Listener) -> None:
        """Raises MissingError: no apt, no keyring, no network, no room."""
        for program, package in (("apt-get", "apt"), ("dpkg-deb", "dpkg")):
            if shutil.which(program) is None:
                raise MissingError(
                    f"{program} is missing: the emulator is made of Debian's packages",
                    do=f"install it (Fedora: sudo dnf install {package} debian-keyring; Arch: sudo pacman -S {package} "
                    "debian-archive-keyring), or run this on Debian, Ubuntu or in a container of them",
                )
        if not KEYRING.is_file():
            raise MissingError(
                "Debian's keyring is missing: without it nobody can tell whose packages they are",
                evidence=f"no {KEYRING}",
                do="sudo apt install debian-archive-keyring",
            )
        self.folder = folder
        for name in ("state/lists/partial", "cache/archives/partial", "packages"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        (folder / "settings").write_text(SETTINGS.format(architecture=architecture, folder=folder))
        self._update(sources(mirror), listen)

    def _update(self, found: Sequence[tuple[str, str]], listen: Listener) -> None:
        """Read the index: of all sources, else, because a mirror's updates are now and then half written, of Debian 12
        alone."""
        self._mirror = found[0][0]
        plain = [(uri, suite) for uri, suite in found if suite == SUITE]
        try:
            self._read_index(found)
        except MissingError as error:
            if len(plain) == len(found):
                raise
            self._read_index(plain)
            listen(Event("index", f"without Debian's updates: {error.evidence.partition(chr(10))[0]}", warning=True))

    def _read_index(self, some: Sequence[tuple[str, str]]) -> None:
        (self.folder / "debian.sources").write_text("\n".join(_stanza(*source) for source in some))
        self._get("update")

    def packages(self, names: Sequence[str]) -> list[Part]:
        """Exactly these packages. Raises MissingError."""
        printed = self._get("download", "--print-uris", *names)
        found = [
            Part(*_named(file), file, digest)
            for file, digest in re.findall(r"^'[^']+' (\S+\.deb) \d+ SHA256:([0-9a-f]{64})$", printed, re.MULTILINE)
        ]
        if len(found) != len(names):
            raise MissingError(
                f"apt tells the SHA-256 of {len(found)} of {len(names)} packages",
                evidence=printed[-1500:],
                do="use a mirror of Debian itself (--mirror), or a newer apt",
            )
        return found

    def closure(self, name: str) -> list[Part]:
        """A package with all that it depends on. Raises MissingError."""
        printed = self._get("install", "--print-uris", "--yes", "--no-install-recommends", name)
        files = re.findall(r"^'[^']+' (\S+\.deb) ", printed, re.MULTILINE)  # here apt tells MD5 sums
        return self.packages(["=".join(_named(file)) for file in files])

    def fetch(self, parts: Sequence[Part], listen: Listener) -> list[Path]:
        """The packages as files, those that are already there whole included. Raises MissingError."""
        folder = self.folder / "packages"
        wanted = [part for part in parts if not whole(folder / part.file, part.sha256)]
        for number, part in enumerate(wanted):
            listen(Event("packages", part.name, number, len(wanted)))
            (folder / part.file).unlink(missing_ok=True)
            self._get("download", f"{part.name}={part.version}", folder=folder)
            refuse_other_bytes(folder / part.file, part.sha256)
        listen(Event("packages", f"{len(parts)} of Debian {SUITE}", len(wanted), len(wanted)))
        return [folder / part.file for part in parts]

    def _get(self, *arguments: str, folder: Path | None = None) -> str:
        """What `apt-get` prints; it runs in `folder`."""
        command = ["apt-get", "--quiet=2", f"--config-file={self.folder / 'settings'}", *arguments]
        try:
            done = run(command, folder or self.folder)
        except subprocess.TimeoutExpired as error:
            raise self._failed(arguments[0], str(error)) from error
        if done.returncode:
            raise self._failed(arguments[0], done.stderr)
        return done.stdout

    def _failed(self, verb: str, talk: str) -> MissingError:
        evidence = "\n".join(line for line in talk.strip().splitlines() if line.startswith(("E:", "W:")))[-1500:]
        what, do = f"apt-get {verb} failed", "look at its words above"
        if re.search(r"NO_PUBKEY|not signed|invalid signature|couldn't be verified|BADSIG|EXPKEYSIG", talk):
            what = f"{self._mirror} is not signed with a key of Debian's keyring"
            do = "use a mirror of Debian itself (--mirror), or update debian-archive-keyring"
        elif "No space left" in talk:
            what, do = f"no space left in {self.folder}", "free 500 MB, or set TFLITE_EDGE_CACHE to a folder with room"
        elif re.search(
            r"Could not|Cannot initiate|Temporary failure|Unable to connect|timed out|Failed to fetch", talk
        ):
            what = f"cannot get Debian's packages from {self._mirror}"
            do = "check the network and the proxy, or name a mirror that you can reach: --mirror URL"
        return MissingError(what, evidence=evidence or talk.strip()[-1500:], do=do)


def run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """The command in `folder`, with English words. Ctrl-C ends it as well."""
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=LONGEST_S, check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
    )  # fmt: skip


def sources(mirror: str = "") -> list[tuple[str, str]]:
    """(URI, suite) of Debian 12: of `mirror`, else as this machine's own sources have it, else Debian's own server."""
    if mirror:
        return [(mirror, SUITE)]
    files = [SOURCES / "sources.list", *sorted((SOURCES / "sources.list.d").glob("*"))]
    found = [pair for path in files if path.is_file() for pair in _read(path.read_text(errors="replace"))]
    ours = [
        (uri, suite)
        for uri, suite in dict.fromkeys(found)
        if suite in PLACES and re.search(r"/debian(-security)?(\.list)?/?$", uri) and "raspberrypi" not in uri
    ]
    return ours if any(suite == SUITE for _, suite in ours) else [(MIRROR, SUITE)]


def _read(text: str) -> list[tuple[str, str]]:
    """(URI, suite) of the binary packages in a file of sources, in either of apt's formats."""
    found = [(m[1], m[2]) for m in re.finditer(r"^deb\s+(?:\[[^]]*]\s*)?(\S+)\s+(\S+)\s.*\bmain\b", text, re.MULTILINE)]
    for stanza in re.split(r"\n\s*\n", re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE)):
        fields = {m[1].lower(): m[2].split() for m in re.finditer(r"^([\w-]+):((?:.|\n[ \t])*)", stanza, re.MULTILINE)}
        if (
            "deb" in fields.get("types", [])
            and "main" in fields.get("components", [])
            and fields.get("enabled") != ["no"]
        ):
            found += [(uri, suite) for uri in fields.get("uris", []) for suite in fields.get("suites", [])]
    return found


def _stanza(uri: str, suite: str) -> str:
    return f"Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: main\nSigned-By: {KEYRING}\n"


def _named(file: str) -> tuple[str, str]:
    """(name, version) of NAME_VERSION_ARCHITECTURE.deb."""
    name, version, _ = file.split("_")
    return name, unquote(version)


def whole(path: Path, digest: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest


def refuse_other_bytes(path: Path, digest: str) -> None:
    """Raises MissingError unless the file is there with this SHA-256."""
    if not whole(path, digest):
        raise MissingError(
            f"{path.name} did not arrive as it should",
            evidence=f"its SHA-256 must be {digest}",
            do="run it again; if it stays so, something on the way changes what is downloaded",
        )
