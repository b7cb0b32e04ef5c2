"""Calls to a running suite through its gateway, the way an outside program makes them."""

import base64
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from edulake.common.settings import Settings

ANSWER_LIMIT_S = 60.0
#: The service reads the whole file before it answers.
DELIVERY_LIMIT_S = 600.0


class CallFailed(RuntimeError):
    """The gateway refused a call; the message is the problem's own words."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        super().__init__(words_of(response))


class UnknownClient(RuntimeError):
    """This home knows no secret of the development client; the message says what to do."""


def words_of(response: httpx.Response) -> str:
    """A problem answer in words, or the bare status when it is none."""
    try:
        body = response.json()
    except ValueError:
        return f"HTTP {response.status_code}"
    if not isinstance(body, dict):
        return f"HTTP {response.status_code}"
    parts = [body.get("title"), body.get("detail"), body.get("mend"), body.get("error_description")]
    if isinstance(body.get("known"), list):
        parts.append("可用 / known: " + ", ".join(map(str, body["known"])))
    place = f"（{body['where']}）" if body.get("where") else ""
    return f"HTTP {response.status_code} " + " — ".join(p for p in parts if p) + place


def no_answer(error: httpx.HTTPError, url: str) -> str:
    """A call that got no answer, in words; `url` is the gateway's address."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        words = f"连不上网关 {url}：用 edulake status 查看后重试 / the gateway cannot be reached: see `edulake status`"
    elif isinstance(error, httpx.TimeoutException):
        words = (
            f"网关 {url} 没有按时答复；请求可能已经生效，先查看再重试 / "
            "no answer in time; it may have been carried out: look before trying again"
        )
    else:
        words = (
            f"与网关 {url} 的连接中断；请求可能已经生效，先查看再重试 / "
            "the connection broke off; it may have been carried out: look before trying again"
        )
    return words


def client_secret(settings: Settings, client_id: str) -> str:
    """The secret `edulake up` made for a development client. Raises UnknownClient."""
    path = settings.secrets / "clients.json"
    if not path.exists():
        raise UnknownClient(
            f"{path} 不存在：先执行 edulake up，容器中先执行 python -m edulake.auth.bootstrap（仅限开发）/ "
            "does not exist: `edulake up` makes it, in containers `python -m edulake.auth.bootstrap` (development)"
        )
    secrets: dict[str, str] = json.loads(path.read_text())
    if client_id not in secrets:
        raise UnknownClient(f"没有开发客户端 {client_id}；可用 / known: {', '.join(sorted(secrets))}")
    return secrets[client_id]


def token_id(token: str) -> str:
    """The `jti` of an access token; ValueError when it is none. The signature is auth's to judge."""
    try:
        body = token.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["jti"])
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError("这不是访问令牌 / this is no access token") from error


@dataclass
class Gateway:
    """An HTTP client for one development client; its token is fetched and renewed as needed."""

    settings: Settings
    client_id: str
    base_url: str
    timeout_s: float = ANSWER_LIMIT_S
    _http: httpx.Client = field(init=False)
    _token: str = ""
    _expires: float = 0.0

    def __post_init__(self) -> None:
        self._http = httpx.Client(base_url=self.base_url, timeout=self.timeout_s, trust_env=False)

    def token(self) -> str:
        """A bearer token that is good for at least another minute."""
        if time.monotonic() > self._expires - 60:
            body = self.post_form("/oauth/token", {"grant_type": "client_credentials"}).json()
            self._token, self._expires = body["access_token"], time.monotonic() + body["expires_in"]
        return self._token

    def post_form(self, path: str, form: dict[str, str]) -> httpx.Response:
        """A form sent with the client's own secret, as the token endpoints want it. Raises CallFailed."""
        secret = client_secret(self.settings, self.client_id)
        answer = self._http.post(path, data=form, auth=(self.client_id, secret))
        if answer.status_code >= 400:
            raise CallFailed(answer)
        return answer

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One call with the token; the answer is returned whatever its status."""
        headers = {"Authorization": f"Bearer {self.token()}", **options.pop("headers", {})}
        return self._http.request(method, path, headers=headers, **options)

    def call(self, method: str, path: str, **options: Any) -> Any:
        """One call that must succeed; the JSON of its answer. Raises CallFailed."""
        answer = self.send(method, path, **options)
        if answer.status_code >= 400:
            raise CallFailed(answer)
        return answer.json() if answer.content else None

    def deliver(self, source: str, dataset: str, file: Path, period: str, key: str = "") -> Any:
        """Upload a file as one delivery, named by `key` if given, and return its batch. Raises CallFailed."""
        with file.open("rb") as stream:
            return self.call(
                "POST",
                f"/api/ingest/sources/{source}/datasets/{dataset}/deliveries",
                data={"period": period},
                files={"file": (file.name, stream, "application/octet-stream")},
                headers={"Idempotency-Key": key} if key else {},
                timeout=DELIVERY_LIMIT_S,
            )

    def close(self) -> None:
        self._http.close()
