"""Load on a running suite through its gateway, with every check on.

    edulake up --detach && edulake demo && make bench

The data comes from `edulake demo`, the grants from `prepare.py`. The run ends with exit code 1 when a target of
`targets.yaml` is missed; any answer but 200 is an error.
"""

import random
from pathlib import Path
from typing import Any

import yaml
from edulake.common.settings import Settings
from locust import FastHttpUser, constant_throughput, events, task
from prepare import prepared, suite

TARGET = yaml.safe_load((Path(__file__).parent / "targets.yaml").read_text())["share"]
DISTRICTS = ("310101", "310104", "310106", "310107", "310112", "310113", "310115", "310151")
SETTINGS = Settings()
TOKEN = prepared(SETTINGS, suite(SETTINGS)).token()


class Caller(FastHttpUser):
    """An outside program: mostly filtered lists, some pages, some quota."""

    host = SETTINGS.issuer
    wait_time = constant_throughput(TARGET["rate_per_s"] / TARGET["users"])

    def get(self, path: str, name: str) -> None:
        self.client.get(path, name=name, headers={"Authorization": f"Bearer {TOKEN}"})

    @task(6)
    def schools_of_a_district(self) -> None:
        self.get(f"/share/v1/schools?district={random.choice(DISTRICTS)}&limit=20", "schools by district")

    @task(3)
    def first_page(self) -> None:
        self.get("/share/v1/schools?limit=20", "schools")

    @task(1)
    def quota(self) -> None:
        self.get(f"/share/v1/senior-quota?district={random.choice(DISTRICTS)}&limit=20", "senior quota")


@events.quitting.add_listener
def judge(environment: Any, **_more: Any) -> None:
    """Compare the run with its targets and set the exit code."""
    total = environment.stats.total
    cpu = max((getattr(environment.runner, "current_cpu_usage", 0) or 0), 0)
    seen = {
        "error ratio": (total.fail_ratio, total.fail_ratio <= TARGET["max_error_ratio"]),
        "p99 ms": (
            total.get_response_time_percentile(0.99),
            total.get_response_time_percentile(0.99) <= TARGET["max_p99_ms"],
        ),
        "requests/s": (total.total_rps, total.total_rps >= TARGET["min_rps"]),
        "generator CPU %": (cpu, cpu <= TARGET["max_generator_cpu_percent"]),
    }
    for name, (value, good) in seen.items():
        print(f"{'ok  ' if good else 'FAIL'} {name}: {value}")  # noqa: T201 - the report of the run
    environment.process_exit_code = 0 if all(good for _, good in seen.values()) else 1
