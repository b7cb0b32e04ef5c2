"""What auth can be told; the default is the development issuer of the suite itself."""

from typing import Literal, Self
from urllib.parse import urlsplit

from edulake.common.settings import Settings
from pydantic import Field, SecretStr, model_validator

#: Secrets that stand in manuals and examples; outside development none of them starts.
KNOWN_SECRETS = frozenset(
    {"secret", "password", "changeme", "change-me", "change_me", "default", "admin", "edulake", "test"}
    | {"client-secret", "client_secret", "example", "your-secret", "your_client_secret", "12345678"}
)
MIN_SECRET_CHARS = 32
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class AuthSettings(Settings):
    """Settings of the auth service."""

    rings = ("seal", "token", "page")

    token_ttl_s: int = Field(3600, ge=60, le=3600, description="How long an access token is good, seconds.")
    signing_key_cache_s: int = Field(
        15, ge=1, le=60, description="How long a process may sign with a key it has read, seconds."
    )
    assertion_max_ttl_s: int = Field(
        300, ge=30, le=600, description="Longest life of a client's signed assertion, seconds."
    )
    clock_leeway_s: int = Field(
        60, ge=0, le=60, description="Clock difference forgiven in signed claims, seconds."
    )
    token_leeway_s: int = Field(
        30,
        ge=0,
        le=60,
        description="Clock skew allowed when a token is judged, as for the gateway: for so long after a client's "
        "tokens were revoked it is given no new one, because none would be accepted.",
    )
    secret_overlap_s: int = Field(
        7 * 86_400, ge=0, le=90 * 86_400, description="How long an old client secret still works, seconds."
    )
    client_failures: int = Field(
        10, ge=1, le=1000, description="Failed client authentications before the client must wait."
    )
    client_failure_window_s: int = Field(
        300, ge=10, le=3600, description="The span over which failures are counted, seconds."
    )
    login_starts: int = Field(300, ge=5, le=100_000, description="Logins one address may begin in that span.")
    apps_per_owner: int = Field(20, ge=1, le=200, description="Applications one person may register.")
    session_idle_s: int = Field(1800, ge=60, le=7200, description="A session unused this long ends, seconds.")
    session_absolute_s: int = Field(
        12 * 3600, ge=300, le=24 * 3600, description="A session ends after this long in any case, seconds."
    )
    login_ttl_s: int = Field(600, ge=60, le=600, description="How long a begun login may take, seconds.")
    login_provider: Literal["oidc", "ywtb"] = Field(
        "oidc", description="How people log in: an OpenID provider, or the two-step token of 一网通办."
    )
    ywtb_mapping: str = Field(
        "ywtb",
        pattern="^[a-z0-9][a-z0-9-]*$",
        description="The file in `standards/login` that says what the user centre's fields mean.",
    )
    ywtb_login_url: str = Field("", description="The user centre's login page.")
    ywtb_legal_login_url: str = Field(
        "", description="Its login page for legal persons (法人); empty: the same as for natural persons."
    )
    ywtb_token_url: str = Field("", description="Where we get our own access token of the user centre.")
    ywtb_user_url: str = Field("", description="Where we ask the user centre who somebody is.")
    ywtb_logout_url: str = Field(
        "", description="Where people sign out of the user centre; empty: only our own session ends."
    )
    ywtb_client_id: str = Field("", description="Our name at the user centre.")
    ywtb_client_secret: SecretStr = Field(SecretStr(""), description="Our secret at the user centre.")
    ywtb_min_level: int = Field(
        1, ge=0, le=3, description="Least real-name level let in: 1 初级, 2 中级, 3 高级; 0: not asked for."
    )
    oidc_profile: str = Field(
        "",
        description="Name of the provider as people know it; empty: 统一认证, or 一网通办 with that way to log in.",
    )
    oidc_issuer: str = Field("", description="The provider's issuer; empty: the development issuer.")
    oidc_internal_url: str = Field(
        "", description="Where this service itself reaches the issuer; empty: the issuer's own address."
    )
    oidc_client_id: str = Field("edulake-portal", description="Our name at the provider.")
    oidc_client_secret: SecretStr = Field(
        SecretStr(""), description="Our secret at the provider; empty only with the method `none`."
    )
    oidc_client_auth: Literal["none", "client_secret_basic", "client_secret_post"] = Field(
        "none", description="How we show who we are at the provider's token endpoint."
    )
    oidc_id_token_alg: Literal["ES256", "RS256", "PS256", "EdDSA", "Ed25519"] = Field(
        "ES256", description="The one algorithm the provider's id tokens may use."
    )
    oidc_scope: str = Field("openid profile", description="What we ask the provider for.")
    oidc_timeout_s: float = Field(5.0, gt=0, le=30, description="Longest wait for the provider, seconds.")
    oidc_metadata_cache_s: int = Field(3600, ge=60, description="How long discovery is believed, seconds.")
    oidc_jwks_refresh_s: int = Field(
        60, ge=60, description="Shortest pause between two reads of the provider's keys, seconds."
    )

    @model_validator(mode="after")
    def _check_provider(self) -> Self:
        if self.login_provider == "ywtb":
            return self._check_user_centre()
        if self.env == "production":
            self._refuse_development_provider()
        elif self.oidc_issuer and not _is_safe(self.oidc_issuer):
            raise ValueError("EDULAKE_OIDC_ISSUER must be https (http only on loopback)")
        if self.oidc_client_auth != "none":
            self._refuse_weak_secret("OIDC_CLIENT_SECRET", self.oidc_client_secret)
        elif self.oidc_client_secret.get_secret_value():
            raise ValueError(
                "EDULAKE_OIDC_CLIENT_SECRET is given but never sent: set EDULAKE_OIDC_CLIENT_AUTH to "
                "client_secret_basic or client_secret_post, as the provider wants it"
            )
        return self

    def _refuse_development_provider(self) -> None:
        if self.uses_dev_issuer:
            raise ValueError(
                "EDULAKE_OIDC_ISSUER is required in production: the development issuer is refused"
            )
        if urlsplit(self.oidc_issuer).scheme != "https":
            raise ValueError("EDULAKE_OIDC_ISSUER must be https in production")

    def _check_user_centre(self) -> Self:
        """Every address must be given and be https: nothing but TLS says that it is the user centre."""
        needed = ("ywtb_login_url", "ywtb_token_url", "ywtb_user_url")
        for name in (*needed, "ywtb_legal_login_url", "ywtb_logout_url"):
            url = getattr(self, name)
            unsafe = url and (
                not _is_safe(url) or (self.env == "production" and not url.startswith("https:"))
            )
            if unsafe or (not url and name in needed):
                raise ValueError(f"EDULAKE_{name.upper()} must be an https address")
        if not self.ywtb_client_id:
            raise ValueError("EDULAKE_YWTB_CLIENT_ID is required")
        self._refuse_weak_secret("YWTB_CLIENT_SECRET", self.ywtb_client_secret)
        return self

    def _refuse_weak_secret(self, name: str, given: SecretStr) -> None:
        secret = given.get_secret_value()
        if not secret:
            raise ValueError(f"EDULAKE_{name} is empty, but the provider needs one")
        if self.env == "production" and (len(secret) < MIN_SECRET_CHARS or secret.lower() in KNOWN_SECRETS):
            raise ValueError(
                f"EDULAKE_{name} is a known or short secret: use {MIN_SECRET_CHARS} random characters"
            )

    @property
    def dev_issuer(self) -> str:
        """The issuer name of the development provider."""
        return f"{self.issuer}/dev-issuer"

    @property
    def uses_dev_issuer(self) -> bool:
        return self.login_provider == "oidc" and self.oidc_issuer in ("", self.dev_issuer)

    @property
    def provider_issuer(self) -> str:
        """The issuer that discovery, responses and id tokens must name, to the letter."""
        return self.oidc_issuer or self.dev_issuer

    @property
    def provider_internal_url(self) -> str:
        """Where server-side calls to the provider go; the browser always uses the issuer's address."""
        if self.oidc_internal_url:
            return self.oidc_internal_url.rstrip("/")
        if self.uses_dev_issuer:
            return f"{self.service_url('auth')}/dev-issuer"
        return self.provider_issuer

    @property
    def provider_title(self) -> str:
        """What people call the provider."""
        usual = "一网通办" if self.login_provider == "ywtb" else "统一认证"
        return self.oidc_profile or ("一网通办（开发替身）" if self.uses_dev_issuer else usual)

    @property
    def asks_who_logs_in(self) -> bool:
        """Whether natural and legal persons have login pages of their own."""
        return self.login_provider == "ywtb" and bool(self.ywtb_legal_login_url)

    @property
    def callback_url(self) -> str:
        return f"{self.issuer}/login/callback"

    @property
    def logged_out_url(self) -> str:
        """Where a provider sends the browser after signing out there (to be registered with it)."""
        return f"{self.issuer}/logout/done"

    @property
    def token_endpoint(self) -> str:
        return f"{self.issuer}/oauth/token"


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and (parts.hostname or "") in LOOPBACK)
