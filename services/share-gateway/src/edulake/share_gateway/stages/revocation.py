"""Whether the caller is still welcome: revoked tokens, disabled clients; fail closed when unknown."""

from edulake.share_gateway.exchange import Exchange
from edulake.share_gateway.problems import AccessUnknown, BadToken


def revocation(x: Exchange) -> None:
    """Refuse a revoked token or a disabled client (401); 503 when revocations could not be read lately."""
    access = x.plane.access
    if not access.is_fresh():
        raise AccessUnknown("授权信息未及时更新", "revocations could not be read lately", mend_zh="稍后重试")
    if access.is_revoked(x.principal):
        raise BadToken("访问令牌已被撤销", "the token was revoked or the client is disabled")
