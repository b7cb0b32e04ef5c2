"""Grants: what was decided, announced at every change."""
