"""Signing out: here, at the provider, and when the provider says so."""
