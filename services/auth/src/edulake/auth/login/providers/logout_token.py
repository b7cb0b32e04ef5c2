"""Judging a logout token (OpenID Connect Back-Channel Logout 1.0 §2.6), every rule or nobody is logged out.

The explicit type, the event and the absence of a nonce keep it apart from an id token, which the same key
signs: neither can be taken for the other (§4.1, cross-JWT confusion).
"""

import time
from datetime import UTC, datetime
from typing import Any

from edulake.auth.jose import TokenRefused, check_times, numeric_date
from edulake.auth.login.providers.id_token import check_audience, optional_name
from edulake.auth.login.providers.port import LogoutNotice
from edulake.auth.settings import AuthSettings

EVENT = "http://schemas.openid.net/event/backchannel-logout"
#: A notice is delivered seconds after it was made; an older one was kept by somebody.
MAX_AGE_S = 300
#: Longest life of a notice, so that remembering its id for once-only use ends some day.
MAX_LIFE_S = 3600


def judge_logout(header: dict[str, Any], claims: dict[str, Any], settings: AuthSettings) -> LogoutNotice:
    """The notice in a token whose signature holds; raises TokenRefused with a constant reason."""
    if str(header.get("typ", "")).lower().removeprefix("application/") != "logout+jwt":
        raise TokenRefused("not a logout token")
    if claims.get("iss") != settings.provider_issuer:
        raise TokenRefused("other issuer")
    check_audience(claims, settings.oidc_client_id)
    check_times(claims, now_s=time.time(), leeway_s=settings.clock_leeway_s, max_age_s=MAX_AGE_S)
    expires_s = numeric_date(claims, "exp")
    if expires_s > time.time() + MAX_LIFE_S:
        raise TokenRefused("good for too long")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise TokenRefused("not about a logout")
    if "nonce" in claims:
        raise TokenRefused("a nonce in a logout token")
    notice = optional_name(claims, "jti")
    subject, session = optional_name(claims, "sub"), optional_name(claims, "sid")
    if notice is None or (subject is None and session is None):
        raise TokenRefused("names no notice, or neither subject nor session")
    return LogoutNotice(
        settings.provider_issuer, notice, subject, session, datetime.fromtimestamp(expires_s, UTC)
    )
