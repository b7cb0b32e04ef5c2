"""The listening sockets of a gateway process.

Several processes listen on one port (SO_REUSEPORT): the kernel spreads connections over them, where a
shared accept queue would give most of them to one. What waits at such a socket when it closes is reset
by the kernel (`net.ipv4.tcp_migrate_req` is off by default). So a process that ends first has new
handshakes dropped at its door: the caller's kernel tries again after a second, and by then the socket is
gone and another process is chosen. Nothing is refused, a few connections are a second late.
"""

import ctypes
import socket
import struct

from edulake.common.telemetry import logger

log = logger(__name__)
#: Time for handshakes that had begun; below the second after which a caller tries again.
HANDSHAKE_S = 0.2
_SO_ATTACH_FILTER = 26
#: Classic BPF over the TCP header (code, jump if true, jump if false, operand): drop SYN without ACK.
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the flags
    (0x54, 0, 0, 0x12),  # keep ACK and SYN
    (0x15, 0, 1, 0x02),  # SYN alone:
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # anything else: take it whole
)


def listen(bind: str, port: int) -> socket.socket:
    """A bound socket whose port other gateway processes may share; OSError when another program has it."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((bind, port))
    except OSError:
        listener.close()
        raise
    return listener


def turn_new_away(listener: socket.socket) -> None:
    """Have new handshakes dropped; where the kernel cannot, say so: connections may be reset then."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _DROP_SYN))
    described = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
    except OSError as error:
        log.warning("new connections cannot be turned away", error=type(error).__name__)
