"""Ed25519 signatures in minisign's formats: `minisign -V -p key.pub -m FILE` accepts what is signed here, and back.

The formats: https://jedisct1.github.io/minisign/ ("Signature format", "Public key format", "Private key format").
Files are signed by their BLAKE2b-512 ("ED", prehashed); keys are stored without a password,
readable by their owner alone.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tflite_edge.artifact import write
from tflite_edge.records.errors import BundleError, MissingError, UsageError

ALGORITHM, PREHASHED, NO_PASSWORD, CHECKSUM = b"Ed", b"ED", b"\0\0", b"B2"
ID_BYTES, KEY_BYTES, SIGNATURE_BYTES = 8, 32, 64
SUFFIX = ".minisig"


@dataclass(frozen=True)
class Signature:
    """A file's signature as it was read. comment: the trusted one, which is signed as well."""

    key_id: str
    comment: str

    @property
    def file(self) -> str:
        """The name it was signed under, "" where the comment tells none: `minisign -t` writes what one likes."""
        return next((word[5:] for word in self.comment.split("\t") if word.startswith("file:")), "")


def keygen(path: Path) -> tuple[Path, Path]:
    """Make (secret key `path`, public key `path`.pub). Raises UsageError where either is there already."""
    public = path.with_name(path.name + ".pub")
    for place in (path, public):
        if place.exists() or place.is_symlink():
            raise UsageError(
                f"{place} is there already", do="choose another name with -o: a lost key cannot be made again"
            )
    key = _ed25519().Ed25519PrivateKey.generate()
    identity, seed, point = os.urandom(ID_BYTES), key.private_bytes_raw(), key.public_key().public_bytes_raw()
    secret = identity + seed + point
    checksum = hashlib.blake2b(ALGORITHM + secret, digest_size=32).digest()
    body = ALGORITHM + NO_PASSWORD + CHECKSUM + bytes(32 + 8 + 8) + secret + checksum
    name = identity[::-1].hex().upper()
    try:
        public.parent.mkdir(parents=True, exist_ok=True)
        write(public, _text(f"minisign public key {name}", ALGORITHM + identity + point))
        _write_secret(path, _text(f"minisign secret key {name}, without a password", body))
    except OSError as error:
        with contextlib.suppress(OSError):
            public.unlink()
        raise MissingError(
            f"cannot write the key {path}", evidence=str(error), do="choose another place: -o"
        ) from error
    return path, public


def sign(file: Path, key: Path) -> Path:
    """`file`.minisig by the secret `key`. Raises BundleError for a key that is none."""
    signer, identity = read_secret(key)
    signature = signer.sign(_digest(file))
    comment = f"file:{file.name}\thashed"
    lines = [
        "untrusted comment: signature from tflite-edge",
        _base64(PREHASHED + identity + signature),
        f"trusted comment: {comment}",
        _base64(signer.sign(signature + comment.encode())),
    ]
    return write(file.with_name(file.name + SUFFIX), "\n".join(lines) + "\n")


def read_secret(key: Path) -> tuple[Any, bytes]:
    """(what signs, the key's number). Raises BundleError for a key that is none, or has a password."""
    body = _read(key, "secret key", 2 + 2 + 2 + 48 + ID_BYTES + 2 * KEY_BYTES + 32)
    if body[2:4] != NO_PASSWORD:
        raise BundleError(
            f"{key} is protected by a password",
            do=f"sign with minisign itself: minisign -S -s {key}; or make a key with `tflite-edge keygen`",
        )
    secret = body[54 : 54 + ID_BYTES + 2 * KEY_BYTES]
    if hashlib.blake2b(ALGORITHM + secret, digest_size=32).digest() != body[-32:]:
        raise BundleError(f"{key} is damaged: its checksum does not fit", do="restore it from a copy")
    identity, seed = secret[:ID_BYTES], secret[ID_BYTES : ID_BYTES + KEY_BYTES]
    return _ed25519().Ed25519PrivateKey.from_private_bytes(seed), identity


def verify(file: Path, public: Path) -> Signature:
    """The signature beside `file`, proven against the `public` key.

    Raises BundleError for a file without a signature, of another key, or with another name or bytes than were signed.
    """
    _refuse_missing(file)
    body = _read(public, "public key", 2 + ID_BYTES + KEY_BYTES)
    identity, point = body[2 : 2 + ID_BYTES], body[2 + ID_BYTES :]
    beside = file.with_name(file.name + SUFFIX)
    if not beside.is_file():
        raise BundleError(
            f"{file} is not signed",
            evidence=f"there is no {beside.name} beside it",
            do="get the signature from who made the bundle; `package --sign KEY` writes it",
        )
    made, comment, whole = _read_signature(beside)
    if made[2 : 2 + ID_BYTES] != identity:
        raise BundleError(
            f"{file} was signed by another key",
            evidence=f"key {_name(made)} signed it, {public} is key {_name(body)}",
            do="use the public key of who made it, or do not use the bundle",
        )
    signature = made[2 + ID_BYTES :]
    checker = _ed25519().Ed25519PublicKey.from_public_bytes(point)
    # "Ed" signs the bytes themselves (minisign before 0.11), "ED" their BLAKE2b-512.
    message = _digest(file) if made[:2] == PREHASHED else file.read_bytes()
    try:
        checker.verify(signature, message)
        checker.verify(whole, signature + comment.encode())
    except _invalid() as error:
        raise BundleError(
            f"{file} is not what was signed",
            evidence=f"the signature {beside.name} of key {_name(made)} does not fit its bytes",
            do="do not use it: get it again from who made it",
        ) from error
    found = Signature(_name(made), comment)
    if found.file not in ("", file.name):
        raise BundleError(
            f"{file} was signed as {found.file}",
            evidence="a signature is good for every file that its key ever signed, a bundle for another board included",
            do=f"get the one that you asked for, or rename it to {found.file} if that is it",
        )
    return found


def _name(body: bytes) -> str:
    """The key's number as minisign prints it: little-endian hexadecimal."""
    return body[2 : 2 + ID_BYTES][::-1].hex().upper()


def _read_signature(path: Path) -> tuple[bytes, str, bytes]:
    """(algorithm, key and signature; trusted comment; signature of both)."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        made = base64.b64decode(lines[1], validate=True)
        head, comment = lines[2][:17], lines[2][17:]
        whole = base64.b64decode(lines[3], validate=True)
    except (OSError, ValueError, IndexError) as error:
        raise BundleError(f"{path} is not a minisign signature", evidence=str(error)) from error
    right = made[:2] in (ALGORITHM, PREHASHED) and len(made) == 2 + ID_BYTES + SIGNATURE_BYTES
    if not right or head != "trusted comment: " or len(whole) != SIGNATURE_BYTES:
        raise BundleError(f"{path} is not a minisign signature")
    return made, comment, whole


def _read(path: Path, what: str, size: int) -> bytes:
    """The bytes of a key file: a comment line, then one line in base64."""
    try:
        body = base64.b64decode(path.read_text(encoding="utf-8").splitlines()[1], validate=True)
    except (OSError, ValueError, IndexError, binascii.Error) as error:
        raise BundleError(f"{path} is not a minisign {what}", evidence=str(error)) from error
    if body[:2] != ALGORITHM or len(body) != size:
        other = "the public key is KEY.pub, the secret one KEY"
        raise BundleError(f"{path} is not a minisign {what}", evidence=f"{len(body)} bytes, not {size}", do=other)
    return body


def _digest(file: Path) -> bytes:
    with file.open("rb") as stream:
        digest = hashlib.blake2b()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.digest()


def _base64(body: bytes) -> str:
    return base64.b64encode(body).decode()


def _text(comment: str, body: bytes) -> str:
    return f"untrusted comment: {comment}\n{_base64(body)}\n"


def _refuse_missing(file: Path) -> None:
    if not file.is_file():
        raise BundleError(f"there is no bundle {file}")


def _write_secret(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)


def _invalid() -> type[Exception]:
    from cryptography.exceptions import InvalidSignature

    return InvalidSignature


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingError(
            "signing needs the package cryptography", evidence=str(error), do="pip install 'tflite-edge[sign]'"
        ) from error
    return ed25519
