"""What the bus tells Prometheus.

Lags and dead letters are shown by every process that has the group's handlers, whichever of them reads;
the relay is the group `relay`.
"""

from prometheus_client import Counter, Gauge

DELIVERIES = Counter(
    "edulake_bus_deliveries_total",
    "Tries of handlers by outcome: done, again, dead",
    ["group", "event", "outcome"],
)
LAG_EVENTS = Gauge(
    "edulake_bus_lag_events", "Events a group has not settled yet (counted to 10000)", ["group"]
)
LAG_SECONDS = Gauge("edulake_bus_lag_seconds", "Age of the oldest event a group has not settled", ["group"])
STILL_SECONDS = Gauge(
    "edulake_bus_still_seconds", "How long a group has not moved although events wait for it", ["group"]
)
DEAD_LETTERS = Gauge("edulake_bus_dead_letters", "Dead letters waiting for a person", ["group"])
RELAYED = Counter("edulake_bus_relayed_total", "Events the relay produced to Kafka", ["topic"])
