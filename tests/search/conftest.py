"""A board behind a real OpenSSH server, as the tests of targets/ssh have it."""

from tests.targets.ssh.conftest import dense, server

__all__ = ["dense", "server"]
