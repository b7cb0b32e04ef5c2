"""Logging people in with an outside OpenID provider."""
