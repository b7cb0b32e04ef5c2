"""How fast one caller may ask the services behind and the administration."""

from edulake.share_gateway.exchange import Exchange


def rate(x: Exchange) -> None:
    """Use one call of the caller's; 429 when it asks too fast."""
    x.plane.service_rates.take(x.principal.subject.id)
