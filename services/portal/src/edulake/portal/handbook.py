"""Lines that call an API and can be copied: curl, Python, Java, with the real address and parameters.

Java's client must be told HTTP/1.1: by itself it asks for h2c, and a request with a body that asks to be
upgraded does not get through.
"""

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from edulake.common.standards import ApiDefinition

_CURL = """\
TOKEN=$(curl -s -u "$CLIENT_ID:$CLIENT_SECRET" -d grant_type=client_credentials \\
  {base}/oauth/token | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')
curl -H "Authorization: Bearer $TOKEN" "{base}{request}"
"""
_PYTHON = """\
import os

import requests

base = "{base}"
granted = requests.post(
    f"{{base}}/oauth/token",
    auth=(os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"]),
    data={{"grant_type": "client_credentials"}},
    timeout=10,
)
granted.raise_for_status()
answer = requests.get(
    f"{{base}}{path}",
    params={params},
    headers={{"Authorization": "Bearer " + granted.json()["access_token"]}},
    timeout=10,
)
answer.raise_for_status()
print(answer.json()["data"])
"""
_JAVA = """\
import java.net.URI;
import java.net.http.*;
import java.util.Base64;

public class Call {{
    public static void main(String[] args) throws Exception {{
        var http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        var pair = System.getenv("CLIENT_ID") + ":" + System.getenv("CLIENT_SECRET");
        var asked = HttpRequest.newBuilder(URI.create("{base}/oauth/token"))
            .header("Authorization", "Basic " + Base64.getEncoder().encodeToString(pair.getBytes()))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .POST(HttpRequest.BodyPublishers.ofString("grant_type=client_credentials")).build();
        var granted = http.send(asked, HttpResponse.BodyHandlers.ofString()).body();
        var token = granted.replaceAll("(?s).*\\"access_token\\"\\\\s*:\\\\s*\\"([^\\"]*)\\".*", "$1");
        var call = HttpRequest.newBuilder(URI.create("{base}{request}"))
            .header("Authorization", "Bearer " + token).build();
        System.out.println(http.send(call, HttpResponse.BodyHandlers.ofString()).body());
    }}
}}
"""


@dataclass(frozen=True)
class Lines:
    """Code in one language; `id` is the fragment it stands under."""

    id: str
    title: str
    code: str


def lines_for(api: ApiDefinition, base: str) -> list[Lines]:
    """The documented request of the API, against this installation's own address."""
    parts = urlsplit(api.sample_request)
    params = dict(parse_qsl(parts.query))
    words = {"base": base, "request": api.sample_request, "path": parts.path, "params": _literal(params)}
    return [
        Lines("curl", "curl", _CURL.format(**words)),
        Lines("python", "Python", _PYTHON.format(**words)),
        Lines("java", "Java 11+", _JAVA.format(**words)),
    ]


def _literal(params: dict[str, str]) -> str:
    """A dict as a careful person would type it."""
    return "{" + ", ".join(f'"{name}": "{value}"' for name, value in params.items()) + "}"
