"""How to reach Kafka and what its topics are like. Environment variables: `EDULAKE_KAFKA_*`."""

import logging
import ssl
import time
from collections.abc import Iterable
from typing import Any, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

#: A filter of a logger does not see what loggers below it say, so each is named.
CLIENT_LOGGERS = (
    "aiokafka",
    "aiokafka.cluster",
    "aiokafka.conn",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.sender",
)


class Brokers(BaseSettings):
    """Connection and topics; the defaults fit a single broker inside a trusted network."""

    model_config = SettingsConfigDict(env_prefix="EDULAKE_KAFKA_", frozen=True, extra="ignore")

    bootstrap: str = Field(default="localhost:9092", description="Kafka brokers, `host:port,…`.")
    prefix: str = Field(default="edulake.", description="Begins the names of all topics and groups.")
    partitions: int = Field(
        default=6, ge=1, le=1000, description="Partitions of a new topic: handlers at work at most."
    )
    replicas: int = Field(default=1, ge=1, le=9, description="Copies of a new topic; 3 in production.")
    security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="How the connection is protected."
    )
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How a SASL login is made."
    )
    username: str = Field(default="", description="Login name, with SASL.")
    password: SecretStr = Field(default=SecretStr(""), description="Password, with SASL.")
    ca_file: str | None = Field(default=None, description="The brokers' authority; empty: the system's.")
    instance: str | None = Field(
        default=None, description="Name of this process (a stable pod name) for static group membership."
    )
    session_timeout_ms: int = Field(
        default=10_000, ge=1000, description="Silence after which a consumer's partitions go to another."
    )
    max_poll_interval_ms: int = Field(
        default=300_000, ge=10_000, description="Longest handling of one batch before the same happens."
    )
    linger_ms: int = Field(
        default=10, ge=0, le=1000, description="How long the relay gathers events before it sends them."
    )

    retry_backoff_ms: int = Field(
        default=250, ge=50, le=10_000, description="Pause before a client asks a broker again that is away."
    )

    def topic(self, zone: str) -> str:
        return f"{self.prefix}{zone}"

    def connection(self) -> dict[str, Any]:
        """Arguments every client of aiokafka takes."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": self.security,
            "retry_backoff_ms": self.retry_backoff_ms,
        }
        if self.security.endswith("SSL"):
            options["ssl_context"] = ssl.create_default_context(cafile=self.ca_file)
        if self.security.startswith("SASL"):
            options["sasl_mechanism"] = self.mechanism
            options["sasl_plain_username"] = self.username
            options["sasl_plain_password"] = self.password.get_secret_value()
        return options


class Once(logging.Filter):
    """Lets a complaint pass once in a while: the client repeats it at every look for as long as it holds."""

    def __init__(self, every_s: float = 30.0) -> None:
        super().__init__()
        self._every_s = every_s
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        words, moment = (record.name, str(record.msg)), time.monotonic()
        if moment - self._said.get(words, -self._every_s) < self._every_s:
            return False
        self._said[words] = moment
        return True


def quieten_client() -> None:
    """Keep the client from filling the logs while the brokers are away; asking twice changes nothing."""
    for name in CLIENT_LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, Once) for known in logger.filters):
            logger.addFilter(Once())


async def ensure_topics(brokers: Brokers, zones: Iterable[str], retention_days: int) -> None:
    """Create the topics that do not exist yet; raises KafkaError when one can neither be made nor found."""
    admin = AIOKafkaAdminClient(**brokers.connection())
    try:
        await admin.start()
        there = set(await admin.list_topics())
        missing = [name for zone in zones if (name := brokers.topic(zone)) not in there]
        if missing:
            config = {
                "retention.ms": str(retention_days * 86_400_000),
                "min.insync.replicas": str(max(1, brokers.replicas - 1)),
            }
            answer = await admin.create_topics(
                [
                    NewTopic(name, brokers.partitions, brokers.replicas, topic_configs=config)
                    for name in missing
                ]
            )
            for topic, code, *message in answer.topic_errors:
                error = for_code(code)
                if code and error is not TopicAlreadyExistsError:  # another process may have been faster
                    raise error(f"topic {topic}: {message[0] if message else ''}")
    finally:
        await admin.close()
