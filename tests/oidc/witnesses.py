"""The identity providers of `make test-oidc`: two that are not ours, and a stand-in for the user centre of 一网通办.

`python tests/oidc/witnesses.py` fetches Keycloak by Maven and oidc-provider by npm into `build/oidc`, once. Each
witness knows how a person logs in at its pages and what its operator can do.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "oidc"
KEYCLOAK = BUILD / "keycloak-26.4.0"
NODE = BUILD / "node"
READY_S = 180
CLIENT = "edulake-portal"
SECRET = "0123456789abcdef0123456789abcdef"
PERSON = "cheng-shi-ren"
PASSWORD = "only-for-tests-1"
NAME = "测试员"


def install() -> None:
    """Fetch both providers unless they are there."""
    if not KEYCLOAK.exists():
        goal = ["dependency:unpack-dependencies", f"-DoutputDirectory={BUILD}"]
        subprocess.run(["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), *goal], check=True)
    if not (NODE / "node_modules").exists():
        NODE.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json", "provider.mjs"):
            shutil.copy(HERE / name, NODE / name)
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(["npm", "ci", *quiet], cwd=NODE, check=True)


class Witness(ABC):
    """One provider process and its people. `ours` is the suite's public address."""

    #: Whether the provider can be told, and tells us, that somebody signed out.
    signs_out = True

    def __init__(self, folder: Path, ours: str) -> None:
        self.folder = folder
        self.ours = ours
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> str:
        """Another site than ours for a browser, though on the same machine."""
        return f"http://localhost:{self.port}"

    @abstractmethod
    def command(self) -> tuple[list[str], dict[str, str]]:
        """What runs the provider, and its environment."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """What auth is told about it."""

    @abstractmethod
    def ready_path(self) -> str: ...

    @abstractmethod
    def asks(self, page: Page) -> bool:
        """Whether the page is the one where a person proves who they are."""

    @abstractmethod
    def answer(self, page: Page) -> None:
        """Prove it, up to the way back to us."""

    @abstractmethod
    def set_secret(self, secret: str) -> None:
        """What the provider takes for our secret from now on."""

    def start(self) -> None:
        """Start, and return when it answers; RuntimeError with the end of its log when it does not."""
        command, environment = self.command()
        log = self.folder / f"{type(self).__name__}.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if httpx.get(f"{self.base}{self.ready_path()}", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.2)
        self.stop()
        raise RuntimeError(f"{type(self).__name__} did not start:\n{log.read_text(errors='replace')[-3000:]}")

    def stop(self) -> None:
        """End the process and whatever it started, which are a group of their own."""
        if self._process is None:
            return
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def prepare(self) -> None:  # noqa: B027 - nothing to do for most
        """Make what the provider must know of us; after the first start."""

    def confirm_sign_out(self, page: Page) -> None:  # noqa: B027 - most ask nothing
        """Press what the provider asks before it signs out, if it asks."""

    def end_sessions(self, page: Page) -> None:
        """End the person's sessions at the provider, without us."""
        raise NotImplementedError

    def rotate(self) -> None:
        """Sign with another key from now on."""
        raise NotImplementedError


class Keycloak(Witness):
    """Keycloak in development mode, its realm made by its admin REST."""

    def command(self) -> tuple[list[str], dict[str, str]]:
        admin = {"KC_BOOTSTRAP_ADMIN_USERNAME": "admin", "KC_BOOTSTRAP_ADMIN_PASSWORD": PASSWORD}
        home = self.folder / "keycloak"  # its database and caches: a run leaves nothing in the installation
        if not home.exists():
            shutil.copytree(KEYCLOAK, home, ignore=shutil.ignore_patterns("data"))
        java = {
            "JAVA_OPTS": "-Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.net.preferIPv4Stack=true"
        }
        where = ["--http-host", "127.0.0.1", "--http-port", str(self.port), "--http-management-port", "0"]
        return [str(home / "bin" / "kc.sh"), "start-dev", *where], {**admin, **java}

    def ready_path(self) -> str:
        return "/realms/master"

    @property
    def issuer(self) -> str:
        return f"{self.base}/realms/edulake"

    def environment(self) -> dict[str, str]:
        return {
            "EDULAKE_OIDC_ISSUER": self.issuer,
            "EDULAKE_OIDC_CLIENT_AUTH": "client_secret_basic",
            "EDULAKE_OIDC_CLIENT_SECRET": SECRET,
            "EDULAKE_OIDC_ID_TOKEN_ALG": "RS256",
        }

    def prepare(self) -> None:
        self._admin("POST", "", {"realm": "edulake", "enabled": True, "sslRequired": "none"})
        self._admin("POST", "/edulake/clients", self._client(SECRET))
        person = {
            "username": PERSON,
            "enabled": True,
            "firstName": NAME,
            "lastName": "·",
            "email": "nobody@edulake.example",
            "emailVerified": True,
            "credentials": [{"type": "password", "value": PASSWORD, "temporary": False}],
        }
        self._admin("POST", "/edulake/users", person)

    def _client(self, secret: str) -> dict[str, Any]:
        return {
            "clientId": CLIENT,
            "secret": secret,
            "redirectUris": [f"{self.ours}/login/callback"],
            "attributes": {
                "pkce.code.challenge.method": "S256",
                "post.logout.redirect.uris": f"{self.ours}/logout/done",
                "backchannel.logout.url": f"{self.ours}/logout/backchannel",
                "backchannel.logout.session.required": "true",
            },
        }

    def set_secret(self, secret: str) -> None:
        [client] = self._admin("GET", f"/edulake/clients?clientId={CLIENT}").json()
        self._admin("PUT", f"/edulake/clients/{client['id']}", {**client, "secret": secret})

    def asks(self, page: Page) -> bool:
        return page.locator("#password").count() == 1

    def answer(self, page: Page) -> None:
        page.fill("#username", PERSON)
        page.fill("#password", PASSWORD)
        page.click("#kc-login")

    def end_sessions(self, page: Page) -> None:
        """One by one: to sign a person out of all of theirs at once, Keycloak 26.4 sends one notice, about one."""
        [person] = self._admin("GET", f"/edulake/users?username={PERSON}").json()
        for one in self._admin("GET", f"/edulake/users/{person['id']}/sessions").json():
            self._admin("DELETE", f"/edulake/sessions/{one['id']}")

    def rotate(self) -> None:
        realm = self._admin("GET", "/edulake").json()["id"]
        wanted = {"priority": ["900"], "algorithm": ["RS256"], "keySize": ["2048"]}
        key = {"name": "next", "providerId": "rsa-generated", "parentId": realm, "config": wanted}
        self._admin("POST", "/edulake/components", {**key, "providerType": "org.keycloak.keys.KeyProvider"})

    def _admin(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """One call as the administrator, whose token is good for a minute only."""
        form = {"grant_type": "password", "client_id": "admin-cli", "username": "admin", "password": PASSWORD}
        place = f"{self.base}/realms/master/protocol/openid-connect/token"
        token = httpx.post(place, data=form, timeout=60).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.request(
            method, f"{self.base}/admin/realms{path}", headers=headers, json=body, timeout=60
        )
        return answer.raise_for_status()


class OidcProvider(Witness):
    """npm oidc-provider, certified by the OpenID Foundation; it keeps its key over a restart and nothing else."""

    def __init__(self, folder: Path, ours: str) -> None:
        super().__init__(folder, ours)
        self._secret = SECRET
        self._key = folder / "key.json"

    def command(self) -> tuple[list[str], dict[str, str]]:
        client = {
            "client_id": CLIENT,
            "client_secret": self._secret,
            "redirect_uris": [f"{self.ours}/login/callback"],
            "post_logout_redirect_uris": [f"{self.ours}/logout/done"],
            "backchannel_logout_uri": f"{self.ours}/logout/backchannel",
            "backchannel_logout_session_required": True,
            "token_endpoint_auth_method": "client_secret_post",
            "id_token_signed_response_alg": "ES256",
        }
        told = {"issuer": self.base, "port": self.port, "key": str(self._key), "client": client}
        return ["node", str(NODE / "provider.mjs"), json.dumps(told)], {}

    def ready_path(self) -> str:
        return "/.well-known/openid-configuration"

    def environment(self) -> dict[str, str]:
        return {
            "EDULAKE_OIDC_ISSUER": self.base,
            "EDULAKE_OIDC_CLIENT_AUTH": "client_secret_post",
            "EDULAKE_OIDC_CLIENT_SECRET": SECRET,
            "EDULAKE_OIDC_ID_TOKEN_ALG": "ES256",
        }

    def set_secret(self, secret: str) -> None:
        self._secret = secret
        self.stop()
        self.start()

    def asks(self, page: Page) -> bool:
        return page.locator("input[name=login]").count() == 1

    def answer(self, page: Page) -> None:
        page.fill("input[name=login]", PERSON)
        page.fill("input[name=password]", PASSWORD)
        page.click("button[type=submit]")
        page.click("button[type=submit]")  # what it asks to allow, once per session

    def confirm_sign_out(self, page: Page) -> None:
        page.click("button[value=yes]")

    def end_sessions(self, page: Page) -> None:
        """Its own sign-out page, in another tab of the browser."""
        with page.context.new_page() as tab:
            tab.goto(f"{self.base}/session/end")
            tab.click("button[value=yes]")
            tab.wait_for_url("**/session/end/success**")

    def rotate(self) -> None:
        self.stop()
        self._key.unlink()
        self.start()


class UserCentre(Witness):
    """Our stand-in for the user centre of 一网通办 (`user_centre.py`): no witness, but a way through a browser."""

    signs_out = False

    def __init__(self, folder: Path, ours: str) -> None:
        super().__init__(folder, ours)
        self._secret = SECRET

    def command(self) -> tuple[list[str], dict[str, str]]:
        return [sys.executable, str(HERE / "user_centre.py"), str(self.port), self._secret], {}

    def ready_path(self) -> str:
        return "/ready"

    def environment(self) -> dict[str, str]:
        return {
            "EDULAKE_LOGIN_PROVIDER": "ywtb",
            "EDULAKE_YWTB_LOGIN_URL": f"{self.base}/login",
            "EDULAKE_YWTB_LEGAL_LOGIN_URL": f"{self.base}/legal",
            "EDULAKE_YWTB_TOKEN_URL": f"{self.base}/token",
            "EDULAKE_YWTB_USER_URL": f"{self.base}/user",
            "EDULAKE_YWTB_CLIENT_ID": CLIENT,
            "EDULAKE_YWTB_CLIENT_SECRET": SECRET,
        }

    def set_secret(self, secret: str) -> None:
        self._secret = secret
        self.stop()
        self.start()

    def asks(self, page: Page) -> bool:
        return page.locator("a.choice").count() == 2 or page.locator("button[name=who]").count() > 0

    def answer(self, page: Page) -> None:
        if page.locator("a.choice").count():
            with page.expect_navigation(wait_until="load"):
                page.click("text=自然人登录")
        if page.locator("button[name=who]").count():  # else the centre still knows who this browser is
            with page.expect_navigation(wait_until="load"):
                page.click("button[value=natural-2]")


if __name__ == "__main__":
    install()
