"""A real board over the OpenSSH client."""

from tflite_edge.targets.ssh.machine import Ssh, open_ssh

__all__ = ["Ssh", "open_ssh"]
