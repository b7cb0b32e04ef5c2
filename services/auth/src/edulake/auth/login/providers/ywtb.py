"""一网通办: the two-step token of a user centre, behind the same port as OpenID (docs/adr/0020).

The browser comes back with a portal token in the address. Server to server we get an access token of our
own, and with both ask who the person is. No discovery, no signature, no nonce, no PKCE: what this proves rests on
TLS to the configured addresses and on the state in the return address. Every relaxation is logged at start.
"""

from collections.abc import Mapping as Answers
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import httpx
from authlib.common.urls import add_params_to_uri
from edulake.auth.jose import TokenRefused
from edulake.auth.login.errors import (
    AccountInactive,
    BadResponse,
    CodeRefused,
    LevelTooLow,
    Misconfigured,
    NotBelieved,
    ProviderBroken,
)
from edulake.auth.login.providers.answers import Asker, whole
from edulake.auth.login.providers.mapping import RELAXATIONS, Mapping
from edulake.auth.login.providers.port import Begin, Identity, Kind
from edulake.auth.models import LoginAttempt
from edulake.auth.settings import AuthSettings
from edulake.common.gm import KeyRing, tokenise_with_all
from edulake.common.telemetry import logger

log = logger(__name__)
MAX_TOKEN_CHARS = 4096
MAX_VALUE_CHARS = 255
#: What this way of login lacks beside OpenID, whatever the mapping.
INHERENT: Final = (
    "no signed identity: the answer is believed because TLS leads to the configured address",
    "no nonce and no PKCE: only the state in the return address binds an answer to its browser",
    "a portal token names no audience: one handed to another system may be tried here",
    "a portal token comes in the address: it is kept out of logs and history, not out of the browser's hands",
    "no back-channel logout: a session ended at the user centre ends here by its own time only",
)


class YwtbProvider:
    """A user centre; `ring` keys the hashes by which its people are known."""

    def __init__(
        self, settings: AuthSettings, http: httpx.AsyncClient, mapping: Mapping, ring: KeyRing
    ) -> None:
        self._settings = settings
        self._mapping = mapping
        self._ring = ring
        self._asker = Asker(http, settings.oidc_timeout_s)
        for relaxation in (*INHERENT, *(RELAXATIONS[name] for name in sorted(mapping.relaxations))):
            log.warning("login is relaxed", profile=mapping.name, relaxation=relaxation)

    @property
    def issuer(self) -> str:
        parts = urlsplit(self._settings.ywtb_login_url)
        return f"{parts.scheme}://{parts.netloc}"

    async def authorize_url(self, begin: Begin) -> str:
        """The state stands in the path: whether a centre adds its token with `?` or `&` then does not matter."""
        back = f"{self._settings.callback_url}/{begin.state}"
        legal = self._settings.ywtb_legal_login_url if begin.kind == "legal" else ""
        page = legal or self._settings.ywtb_login_url
        return str(add_params_to_uri(page, [(self._mapping.browser.redirect, back)]))

    async def identify(self, answer: Answers[str, str], attempt: LoginAttempt) -> Identity:
        portal_token = answer.get(self._mapping.browser.portal_token, "")
        if not 0 < len(portal_token) <= MAX_TOKEN_CHARS:
            raise BadResponse("no portal token")
        return self._identity(await self._user(await self._access_token(), portal_token))

    async def logout_url(self, *, id_token: str | None, state: str) -> str | None:
        """Only where the operator has configured one: none is public."""
        if not self._settings.ywtb_logout_url:
            return None
        back = str(add_params_to_uri(self._settings.logged_out_url, [("state", state)]))
        return str(
            add_params_to_uri(self._settings.ywtb_logout_url, [(self._mapping.browser.redirect, back)])
        )

    async def judge_logout(self, token: str) -> NoReturn:
        raise TokenRefused("this provider sends no logout tokens")

    async def _access_token(self) -> str:
        names, settings = self._mapping.token, self._settings
        form = {
            names.client_id: settings.ywtb_client_id,
            names.client_secret: settings.ywtb_client_secret.get_secret_value(),
        }
        told = whole(await self._asker.ask("POST", settings.ywtb_token_url, data=form))
        token = told.get(names.access_token)
        if not isinstance(token, str) or not token:  # whoever is refused here is we, not the person
            raise Misconfigured("user centre gives us no access token")
        return token

    async def _user(self, access_token: str, portal_token: str) -> dict[str, Any]:
        names = self._mapping.user
        form = {names.access_token: access_token, names.portal_token: portal_token}
        answer = await self._asker.ask("POST", self._settings.ywtb_user_url, data=form)
        if answer.status in (400, 401, 403):
            raise CodeRefused("user centre refuses the portal token")
        envelope = whole(answer)
        if _is_false(envelope.get(names.is_success)):
            raise CodeRefused("user centre does not know the portal token")
        data = envelope.get(names.data)
        if not _is_true(envelope.get(names.is_success)) or not isinstance(data, dict):
            raise ProviderBroken("envelope not understood")
        return data

    def _identity(self, data: dict[str, Any]) -> Identity:
        fields = self._mapping.fields
        kind = self._kind(data)
        self._refuse_inactive(data)
        user_id = _text(data, fields.user_id)
        name = _text(data, fields.name_legal if kind == "legal" else fields.name)
        if not user_id:
            raise NotBelieved("no user id")
        subjects = [f"ywtb:{token}" for token in tokenise_with_all(self._ring, user_id, "login/user")]
        id_number = _text(data, fields.id_number) if fields.id_number else ""
        hashes = tokenise_with_all(self._ring, id_number.upper(), "login/id-number") if id_number else []
        return Identity(
            self.issuer,
            subjects[-1],
            name or "未命名用户",
            former_subjects=tuple(subjects[:-1]),
            kind=kind,
            id_hashes=tuple(reversed(hashes)),
            acr=self._acr(data),
        )

    def _kind(self, data: dict[str, Any]) -> Kind:
        kind = self._mapping.kinds.get(_text(data, self._mapping.fields.kind))
        if kind is None:
            raise NotBelieved("neither a natural nor a legal person")
        return kind

    def _refuse_inactive(self, data: dict[str, Any]) -> None:
        field = self._mapping.fields.status
        if field and _text(data, field) not in self._mapping.active:
            raise AccountInactive("account is not active")

    def _acr(self, data: dict[str, Any]) -> str | None:
        """`urn:ywtb:1` to `3` (初级, 中级, 高级); raises LevelTooLow below the level asked for."""
        field = self._mapping.fields.level
        level = self._mapping.levels.get(_text(data, field)) if field else None
        if (level or 0) < self._settings.ywtb_min_level:
            raise LevelTooLow("real-name level is below what is asked for")
        return f"urn:ywtb:{level}" if level else None


def _text(data: dict[str, Any], field: str) -> str:
    """A short text of the answer, else nothing: a list or a novel is no name and no number."""
    value = data.get(field)
    return value.strip() if isinstance(value, str) and len(value) <= MAX_VALUE_CHARS else ""


def _is_true(value: Any) -> bool:
    return value is True or value == "true"


def _is_false(value: Any) -> bool:
    return value is False or value == "false"
