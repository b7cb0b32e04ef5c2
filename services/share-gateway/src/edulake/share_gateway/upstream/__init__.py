"""The other services behind the gateway: which path is whose, and how it is passed on."""
