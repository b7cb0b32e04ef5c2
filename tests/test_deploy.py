"""What stands in the deployment files exists in the code and keeps the cluster's rules."""

import copy
import importlib
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml
from compose_spec import PyCompose
from edulake.auth import command as auth_command
from edulake.cli.main import app as cli
from edulake.common.serve import main as serve
from edulake.common.settings import PORT_OFFSETS, READER, Settings
from edulake.ingest.settings import IngestSettings
from edulake.share_gateway.publication.settings import PublisherSettings
from edulake.share_gateway.settings import GatewaySettings
from edulake.share_gateway.upstream.routes import route_of

ROOT = Path(__file__).resolve().parents[1]
K8S = ROOT / "deploy" / "k8s"
BASE = K8S / "base"
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
# Not of `Settings`: the migration's own, and uvicorn's.
OWN_VARIABLES = {
    "EDULAKE_DATABASE_ADMIN_URL",
    "EDULAKE_ROLE_PASSWORDS_FILE",
    "FORWARDED_ALLOW_IPS",
}
OF_THE_PROVIDER = {
    f"EDULAKE_OIDC_{name}" for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "CLIENT_AUTH", "ID_TOKEN_ALG")
}
WORKERS = {"governance-worker", "publisher", "relay"}
IMAGE = (ROOT / "Dockerfile").read_text()
SERVICES = {*PORT_OFFSETS, *WORKERS, "migrate"}
NEED_THE_LAKE = {"ingest", "governance", "governance-worker", "publisher"}
RENDERERS = {"kustomize": ["kustomize", "build"], "kubectl": ["kubectl", "kustomize"]}
RENDERER = next((command for tool, command in RENDERERS.items() if shutil.which(tool)), None)
VERSION = yaml.safe_load((BASE / "kustomization.yaml").read_text())["images"][0]["newTag"]


def known_variables() -> set[str]:
    kinds = [Settings]
    for service in PORT_OFFSETS:
        module = importlib.import_module(f"edulake.{service.replace('gateway', 'share_gateway')}.settings")
        kinds += [
            kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Settings)
        ]
    return {f"EDULAKE_{name.upper()}" for kind in kinds for name in kind.model_fields} | OWN_VARIABLES


KNOWN = known_variables()


def patched(item: dict[str, Any]) -> dict[str, Any]:
    """The document with what the base adds to all of its kind; `TestRendered` compares with the real tool."""
    for patch in yaml.safe_load((BASE / "kustomization.yaml").read_text())["patches"]:
        label, _, value = patch["target"]["labelSelector"].partition("=")
        labels = item["metadata"].get("labels", {})
        if item["kind"] in patch["target"]["kind"].split("|") and labels.get(label) == value:
            for step in yaml.safe_load((BASE / patch["path"]).read_text()):
                add(item, step)
    return item


def add(item: dict[str, Any], step: dict[str, Any]) -> None:
    """One JSON Patch operation (RFC 6902) of the only kind the base uses."""
    assert step["op"] == "add"
    *way, last = step["path"].strip("/").split("/")
    place: Any = item
    for part in way:
        place = place[int(part) if part.isdigit() else part]
    if last == "-":
        place.append(step["value"])
    else:
        assert last not in place, f"{step['path']} would be overwritten in {item['metadata']['name']}"
        place[last] = step["value"]


def documents() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for path in sorted(BASE.glob("*/*.yaml")):
        if path.name != "kustomization.yaml" and path.parent.name != "common":
            found += [(path.parent.name, patched(item)) for item in yaml.safe_load_all(path.read_text())]
    return found


DOCUMENTS = documents()
PODS = [(place, item) for place, item in DOCUMENTS if item["kind"] in ("Deployment", "Job")]
POLICIES = {item["metadata"]["name"]: item for _, item in DOCUMENTS if item["kind"] == "NetworkPolicy"}


def rings_of(place: str) -> set[str]:
    """The key rings that the settings of a process say it needs; the relay opens none."""
    if place == "relay":
        return set()
    if place == "publisher":
        return set(PublisherSettings.rings or ())
    package = {"gateway": "share_gateway", "governance-worker": "governance"}.get(place, place)
    module = importlib.import_module(f"edulake.{package}.settings")
    (kind,) = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Settings) and kind is not Settings
    ]
    assert kind.rings is not None, f"{kind.__name__} asks for every ring there is"
    return set(kind.rings)


def name_of(value: object) -> str:
    return f"{value['kind']}-{value['metadata']['name']}" if isinstance(value, dict) else str(value)


def container_of(item: dict[str, Any]) -> dict[str, Any]:
    (container,) = item["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = container
    return found


def check_command(command: list[str]) -> None:
    assert command[:2] == ["python", "-m"]
    assert importlib.util.find_spec(command[2]) is not None, command
    if command[2] == "edulake.common.serve":
        assert command[3] in PORT_OFFSETS.keys() - {"gateway"}


class TestImage:
    def test_serves_the_gateway_unless_told_otherwise(self) -> None:
        (command,) = re.findall(r"^CMD (.*)$", IMAGE, re.MULTILINE)
        assert json.loads(command) == container_of(dict(PODS)["gateway"])["command"]
        check_command(json.loads(command))

    def test_the_gateway_is_not_taken_for_a_service_behind_it(self) -> None:
        with pytest.raises(SystemExit, match=r"python -m edulake\.share_gateway") as refused:
            serve("gateway")
        assert "one of auth, catalog, governance, ingest, portal, workorder;" in str(refused.value)

    def test_holds_every_package_the_command_edulake_too(self) -> None:
        (packages,) = re.findall(r"^PACKAGES := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
        installed = re.search(r"--no-build-isolation ([^&]*?)\n\n", IMAGE)
        assert installed
        assert set(packages.split()) == set(installed[1].split()) - {"\\"}


class TestCompose:
    def test_follows_the_compose_specification(self) -> None:
        filled = re.sub(r"\$\{\w+(?::-([^}]*)|:\?[^}]*)\}", lambda match: match.group(1) or "x", COMPOSE_TEXT)
        assert "${" not in filled
        merged = yaml.safe_dump(yaml.safe_load(filled))  # the validator knows no merge keys; Compose does
        PyCompose.from_yaml(merged).validate()

    def test_runs_the_whole_suite(self) -> None:
        assert {*SERVICES, "postgres", "redis", "kafka"} == set(COMPOSE["services"])

    @pytest.mark.parametrize("name", sorted(SERVICES))
    def test_a_service_uses_known_settings_and_an_existing_module(self, name: str) -> None:
        service = COMPOSE["services"][name]
        assert set(service["environment"]) <= KNOWN
        check_command(service["command"])
        assert service["read_only"] is True

    def test_every_part_tells_its_health_and_waits_for_what_it_needs(self) -> None:
        for name, service in COMPOSE["services"].items():
            assert "healthcheck" in service or name == "migrate"
            for other, wanted in service.get("depends_on", {}).items():
                healthy = wanted["condition"] == "service_healthy"
                assert not healthy or "healthcheck" in COMPOSE["services"][other]
            if name in SERVICES - {"migrate"}:
                assert service["depends_on"]["migrate"]["condition"] == "service_completed_successfully"

    def test_only_the_gateway_is_reached_from_outside_and_knows_its_inside_name(self) -> None:
        assert [name for name, service in COMPOSE["services"].items() if "ports" in service] == ["gateway"]
        assert '"gateway"' in COMPOSE["services"]["gateway"]["environment"]["EDULAKE_ALLOWED_HOSTS"]

    def test_the_gateway_answers_on_this_host_only(self) -> None:
        """In development whoever reaches it logs in as anybody: its issuer asks for no password."""
        (published,) = COMPOSE["services"]["gateway"]["ports"]
        assert published.startswith("127.0.0.1:")
        told = COMPOSE["services"]["gateway"]["environment"]
        assert told["EDULAKE_ENV"].endswith(":-development}")
        assert "EDULAKE_TRUSTED_PROXIES" in told, "a proxy on this host tells who calls"

    def test_auth_is_told_its_provider(self) -> None:
        assert set(COMPOSE["services"]["auth"]["environment"]) >= OF_THE_PROVIDER

    @pytest.mark.parametrize("name", sorted(SERVICES))
    def test_a_process_is_given_the_time_it_takes_to_end(self, name: str) -> None:
        grace = COMPOSE["services"][name]["stop_grace_period"]
        assert float(grace.removesuffix("s")) >= Settings().stop_limit_s

    def test_only_the_migration_sees_the_passwords_of_the_roles(self) -> None:
        assert [name for name, service in COMPOSE["services"].items() if "secrets" in service] == ["migrate"]

    def test_no_image_floats_and_no_secret_stands_in_the_file(self) -> None:
        for service in COMPOSE["services"].values():
            assert re.search(r":[\d$]", service["image"])
        assert "PASSWORD:?" in COMPOSE_TEXT


class TestWayIn:
    """What the pages tell an operator to type in a container can be typed there."""

    PAGES = (ROOT / "docs" / "ops" / "run.md", K8S / "README.md")
    TYPED = r"^(?:docker compose run --rm|kubectl -n edulake exec deployment/)\s*(\S+) (?:-- )?(.+)$"

    def typed(self) -> list[tuple[str, list[str]]]:
        told = "\n".join(page.read_text(encoding="utf-8") for page in self.PAGES)
        return [(service, shlex.split(rest)) for service, rest in re.findall(self.TYPED, told, re.MULTILINE)]

    def test_every_command_has_its_service_and_its_module(self) -> None:
        assert len(self.typed()) >= 4
        for service, words in self.typed():
            assert service in PORT_OFFSETS
            if words[0] == "edulake":
                assert words[1] in typer.main.get_command(cli).commands  # type: ignore[attr-defined]
            else:
                check_command(words)

    def test_the_first_administrators_are_admitted_by_what_is_typed(self) -> None:
        asked = [
            auth_command._parser().parse_args(words[3:])
            for _, words in self.typed()
            if words[2:3] == ["edulake.auth.command"]
        ]
        assert {"system_admin", "security_admin"} <= {
            one.role for one in asked if one.command == "first-admin"
        }

    def test_the_secrets_of_development_clients_are_kept_where_edulake_looks(self) -> None:
        (file,) = {Path(words[-1]) for _, words in self.typed() if words[2:3] == ["edulake.auth.bootstrap"]}
        auth = COMPOSE["services"]["auth"]
        assert file == Path(auth["environment"]["EDULAKE_SECRETS_DIR"]) / "clients.json"
        assert "state:/var/lib/edulake" in auth["volumes"]


class TestKubernetes:
    @pytest.mark.parametrize(("place", "item"), DOCUMENTS, ids=name_of)
    def test_each_document_is_valid(self, place: str, item: dict[str, Any]) -> None:
        kubernetes_validate.validate(item, "1.33", strict=True)

    def test_the_base_names_every_part(self) -> None:
        names = set(yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"])
        folders = {path.parent.name for path in BASE.glob("*/kustomization.yaml")}
        assert names == folders == SERVICES | {"shared"}

    @pytest.mark.parametrize(("place", "item"), PODS, ids=name_of)
    def test_a_pod_is_restricted_and_runs_an_existing_module(self, place: str, item: dict[str, Any]) -> None:
        spec = item["spec"]["template"]["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False, "service links would become settings"
        container = container_of(item)
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"]
        assert security["runAsNonRoot"]
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert not security["allowPrivilegeEscalation"]
        assert container["resources"]["limits"]["memory"]
        assert {variable["name"] for variable in container.get("env", [])} <= KNOWN
        check_command(container["command"])

    @pytest.mark.parametrize(("place", "item"), PODS, ids=name_of)
    def test_the_lake_is_mounted_only_where_it_is_needed(self, place: str, item: dict[str, Any]) -> None:
        mounts = {mount["name"] for mount in container_of(item)["volumeMounts"]}
        assert ("lake" in mounts) == (place in NEED_THE_LAKE)

    @pytest.mark.parametrize("service", sorted(PORT_OFFSETS))
    def test_a_service_listens_where_the_others_look(self, service: str) -> None:
        (deployment,) = [item for place, item in PODS if place == service]
        container = container_of(deployment)
        assert container["ports"][0]["containerPort"] == 8080 + PORT_OFFSETS[service]
        assert container["startupProbe"]["httpGet"]["path"] == "/livez"
        assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"

    @pytest.mark.parametrize(("place", "item"), PODS, ids=name_of)
    def test_a_pod_is_given_the_time_it_takes_to_end(self, place: str, item: dict[str, Any]) -> None:
        grace = item["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        waits = container_of(item).get("lifecycle", {"preStop": {"sleep": {"seconds": 0}}})
        assert grace >= waits["preStop"]["sleep"]["seconds"] + Settings().stop_limit_s
        assert place not in PORT_OFFSETS or waits["preStop"]["sleep"]["seconds"] > 0

    @pytest.mark.parametrize(("place", "item"), PODS, ids=name_of)
    def test_a_pod_is_given_its_own_keys_and_passwords_only(self, place: str, item: dict[str, Any]) -> None:
        volumes = [one for one in item["spec"]["template"]["spec"]["volumes"] if "secret" in one]
        if place == "migrate":
            assert [one["secret"]["secretName"] for one in volumes] == ["edulake-migration"]
            return
        wanted = {f"{purpose}.keys" for purpose in rings_of(place)}
        wanted |= {"internal.key"} if place in PORT_OFFSETS else set()
        assert {one["secret"]["secretName"] for one in volumes} == ({"edulake-keys"} if wanted else set())
        assert {key["key"] for one in volumes for key in one["secret"]["items"]} == wanted
        assert "edulake-migration" not in str(item)

    @pytest.mark.parametrize(("place", "item"), PODS, ids=name_of)
    def test_a_fixed_address_is_of_the_role_the_process_works_in(
        self, place: str, item: dict[str, Any]
    ) -> None:
        env = {one["name"]: one for one in container_of(item).get("env", [])}
        keys = {
            name: one["valueFrom"]["secretKeyRef"]["key"]
            for name, one in env.items()
            if name.startswith("EDULAKE_DATABASE") and "valueFrom" in one
        }
        role = {"governance-worker": "governance", "publisher": "gateway"}.get(place, place)
        wanted = {"EDULAKE_DATABASE_URL": f"edulake_{role}"}
        if place == "gateway":
            wanted["EDULAKE_DATABASE_READER_URL"] = READER
        special = {"migrate": {"EDULAKE_DATABASE_ADMIN_URL": "admin"}, "portal": {}}
        assert keys == special.get(place, wanted)

    def test_the_page_names_every_secret_and_its_keys(self) -> None:
        page = (K8S / "README.md").read_text()
        for _, item in PODS:
            refs = [
                one["valueFrom"]["secretKeyRef"]
                for one in container_of(item).get("env", [])
                if "valueFrom" in one
            ]
            for ref in refs:
                assert f"`{ref['name']}`" in page
                assert f"`{ref['key']}`" in page

    def test_the_gateway_knows_the_host_of_its_probes_and_of_inside_calls(self) -> None:
        (gateway,) = [item for place, item in PODS if place == "gateway"]
        hosts = yaml.safe_load(self.config()["EDULAKE_ALLOWED_HOSTS"])
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            (host,) = container_of(gateway)[probe]["httpGet"]["httpHeaders"]
            assert host["value"] in hosts
        assert "gateway" in hosts

    def test_gateways_share_quotas_by_the_autoscalers_limit(self) -> None:
        (scaler,) = [item for _, item in DOCUMENTS if item["kind"] == "HorizontalPodAutoscaler"]
        assert self.config()["EDULAKE_GATEWAY_PROCESSES"] == str(scaler["spec"]["maxReplicas"])
        (gateway,) = [item for place, item in PODS if place == "gateway"]
        assert "replicas" not in gateway["spec"], "applying again would undo the autoscaler"

    @pytest.mark.parametrize("worker", sorted(WORKERS))
    def test_a_worker_shows_its_metrics_and_its_life(self, worker: str) -> None:
        (deployment,) = [item for place, item in PODS if place == worker]
        container = container_of(deployment)
        assert str(container["ports"][0]["containerPort"]) == self.config()["EDULAKE_WORKER_METRICS_PORT"]
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)

    def test_the_gateways_metrics_are_read_on_a_port_of_the_pod_alone(self) -> None:
        (gateway,) = [item for place, item in PODS if place == "gateway"]
        own = {one["name"]: one.get("value") for one in container_of(gateway)["env"]}["EDULAKE_OWN_PORT"]
        assert own in {str(port["containerPort"]) for port in container_of(gateway)["ports"]}
        monitored = {
            str(port["port"]) for rule in POLICIES["monitoring"]["spec"]["ingress"] for port in rule["ports"]
        }
        assert own in monitored
        assert "8080" not in monitored
        edge = {str(port["port"]) for port in POLICIES["from-outside"]["spec"]["ingress"][0]["ports"]}
        assert own not in edge

    def test_the_edge_passes_a_delivery_on_while_it_arrives(self) -> None:
        ingress = yaml.safe_load((K8S / "overlays" / "prod" / "ingress.yaml").read_text())
        assert ingress["spec"]["ingressClassName"]
        told = {key.rpartition("/")[2]: value for key, value in ingress["metadata"]["annotations"].items()}
        largest = int(told["proxy-body-size"].removesuffix("g")) << 30
        assert largest >= route_of("/api/ingest/sources").body_max_bytes > IngestSettings().upload_max_bytes
        assert told["proxy-request-buffering"] == "off"
        assert float(told["proxy-read-timeout"]) >= GatewaySettings().upstream_delivery_s

    def test_every_deployment_has_a_disruption_budget(self) -> None:
        budgets = {place: item for place, item in DOCUMENTS if item["kind"] == "PodDisruptionBudget"}
        for budget in budgets.values():
            assert budget["spec"]["maxUnavailable"] == 1, (
                "`minAvailable` of a single pod lets no node be drained"
            )
        assert set(budgets) == {place for place, item in PODS if item["kind"] == "Deployment"}

    def test_each_release_migrates_by_a_job_of_its_own(self) -> None:
        suffix = yaml.safe_load((BASE / "migrate" / "kustomization.yaml").read_text())["nameSuffix"]
        assert suffix == "-" + VERSION.replace(".", "-"), "a Job cannot be changed: rename it with the image"

    def test_the_network_is_closed_by_default(self) -> None:
        assert POLICIES["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}

    def test_no_rule_opens_everything(self) -> None:
        for name, policy in POLICIES.items():
            for direction in ("ingress", "egress"):
                for rule in policy["spec"].get(direction, []):
                    assert rule.get("ports"), f"{name}: every port"
                    assert rule.get("from") or rule.get("to"), f"{name}: everybody"
                    assert {} not in (rule.get("from") or rule["to"]), name

    @pytest.mark.parametrize("service", sorted(PORT_OFFSETS))
    def test_the_suite_may_reach_every_service_in_both_directions(self, service: str) -> None:
        for name, direction in (("suite-to-services", "ingress"), ("from-suite", "egress")):
            ports = {port["port"] for port in POLICIES[name]["spec"][direction][0]["ports"]}
            assert 8080 + PORT_OFFSETS[service] in ports

    def config(self) -> dict[str, str]:
        (config,) = [item for _, item in DOCUMENTS if item["kind"] == "ConfigMap"]
        data: dict[str, str] = config["data"]
        return data

    def test_settings_of_the_cluster_exist(self) -> None:
        assert set(self.config()) <= KNOWN
        assert self.config()["EDULAKE_ENV"] == "production"

    def test_auth_is_told_its_provider(self) -> None:
        (auth,) = [item for place, item in PODS if place == "auth"]
        given = {variable["name"] for variable in container_of(auth)["env"]}
        assert given >= OF_THE_PROVIDER


@pytest.mark.parametrize("folder", ["base", "overlays/dev", "overlays/prod"])
@pytest.mark.skipif(
    RENDERER is None, reason="neither kustomize nor kubectl here; the files are checked above"
)
class TestRendered:
    """The same as a cluster gets it, by the real tool where one is installed."""

    def test_renders_and_each_document_is_valid(self, folder: str) -> None:
        assert RENDERER
        done = subprocess.run([*RENDERER, str(K8S / folder)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        rendered = list(yaml.safe_load_all(done.stdout))
        for item in rendered:
            kubernetes_validate.validate(item, "1.33", strict=True)
            assert item["kind"] == "Namespace" or item["metadata"]["namespace"] == "edulake"
        assert {item["metadata"]["name"] for item in rendered if item["kind"] == "Deployment"} == SERVICES - {
            "migrate"
        }
        written = {item["metadata"]["labels"]["app.kubernetes.io/name"]: item for _, item in PODS}
        for item in rendered:
            if item["kind"] in ("Deployment", "Job"):
                assert container_of(item).pop("image") == f"edulake:{VERSION}"
                own = copy.deepcopy(written[item["metadata"]["labels"]["app.kubernetes.io/name"]])
                assert container_of(own).pop("image") == "edulake"
                assert item["spec"]["template"] == own["spec"]["template"]
