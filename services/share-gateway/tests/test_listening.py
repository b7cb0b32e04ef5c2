"""Sockets that share a port, and one that leaves without losing a caller."""

import asyncio
import socket
from collections.abc import Iterator

import pytest
from edulake.share_gateway.listening import listen, turn_new_away


@pytest.fixture
def leaving() -> Iterator[socket.socket]:
    listener = listen("127.0.0.1", 0)
    listener.listen()
    yield listener
    listener.close()


def connect(port: int) -> "asyncio.Task[tuple[asyncio.StreamReader, asyncio.StreamWriter]]":
    return asyncio.create_task(asyncio.open_connection("127.0.0.1", port))


class TestTurningAway:
    async def test_what_was_connected_before_is_still_accepted(self, leaving: socket.socket) -> None:
        _, writer = await connect(leaving.getsockname()[1])
        turn_new_away(leaving)
        accepted, _ = leaving.accept()
        writer.write(b"hello")
        assert await asyncio.to_thread(accepted.recv, 5) == b"hello"
        writer.close()
        accepted.close()

    async def test_a_new_caller_is_neither_refused_nor_taken_and_reaches_the_next_process(
        self, leaving: socket.socket
    ) -> None:
        port = leaving.getsockname()[1]
        turn_new_away(leaving)
        caller = connect(port)
        done, _ = await asyncio.wait({caller}, timeout=0.3)
        assert not done
        staying = listen("127.0.0.1", port)
        staying.listen()
        leaving.close()
        _, writer = await asyncio.wait_for(caller, 60)  # the kernel's own second try
        writer.close()
        staying.close()


class TestSharing:
    def test_a_port_that_another_program_holds_alone_is_refused(self) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            with pytest.raises(OSError, match="in use"):
                listen("127.0.0.1", other.getsockname()[1])
