"""Finds it: resources, search, applications and grants."""
