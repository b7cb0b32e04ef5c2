"""A real Kafka broker for tests: one node, KRaft, free ports, gone when the command ends.

`python tests/kafka/broker.py COMMAND…` runs COMMAND with `EDULAKE_KAFKA_BOOTSTRAP` set and ends with
its exit code. The jars come by Maven from `pom.xml` into `build/kafka/lib`, once. `Broker` is also what
fault tests stop and start.
"""

import asyncio
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

HERE = Path(__file__).resolve().parent
LIB = HERE.parents[1] / "build" / "kafka" / "lib"
READY_S = 120

PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
"""


class Broker:
    """One broker with its data in `folder`; it keeps its ports and data over stop and start."""

    def __init__(self, folder: Path) -> None:
        install()
        self.folder = folder
        self.port, controller = _free_ports()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.properties = folder / "server.properties"
        self.properties.write_text(PROPERTIES.format(port=self.port, controller=controller, folder=folder))
        self._process: subprocess.Popen[bytes] | None = None
        identity = self._tool("kafka.tools.StorageTool", "random-uuid").strip()
        self._tool(
            "kafka.tools.StorageTool", "format", "-t", identity, "-c", str(self.properties), "--standalone"
        )

    def start(self) -> None:
        """Start, and return when it answers; RuntimeError with the end of its log when it does not."""
        with (self.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._java("-Xmx512m", "-XX:+UseSerialGC"), "kafka.Kafka", str(self.properties)],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C goes to the tests first
            )
        asyncio.run(self._wait())

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End the process by the signal; a broker that does not listen is killed after 15 s."""
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    async def _wait(self) -> None:
        """An open port is not yet a broker: ask it for its topics."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=2000)
            try:
                await admin.start()
                await admin.list_topics()
            except (KafkaError, OSError, TimeoutError):
                await asyncio.sleep(0.2)
            else:
                return
            finally:
                await admin.close()
        end = (self.folder / "broker.log").read_text(errors="replace")[-3000:]
        self.stop(signal.SIGKILL)
        raise RuntimeError(f"Kafka did not start:\n{end}")

    def _java(self, *options: str) -> list[str]:
        return [shutil.which("java") or "java", *options, "-cp", f"{LIB}/*"]

    def _tool(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._java(), *arguments], check=True, capture_output=True, text=True, cwd=self.folder
        )
        return done.stdout


def install() -> None:
    """Fetch the broker's jars by Maven unless they are there."""
    if not any(LIB.glob("kafka_*.jar")):
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={LIB}"]
        subprocess.run(["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), *goal], check=True)


def _free_ports() -> tuple[int, int]:
    """Two ports nobody listens on now (both held while choosing, so they differ)."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def main(command: list[str]) -> int:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it complains at every look
    with tempfile.TemporaryDirectory(prefix="edulake-kafka-") as folder:
        broker = Broker(Path(folder))
        broker.start()
        try:
            known = {**os.environ, "EDULAKE_KAFKA_BOOTSTRAP": broker.bootstrap}
            return subprocess.run(command, env=known, check=False).returncode
        finally:
            broker.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
