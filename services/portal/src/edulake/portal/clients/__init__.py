"""Calls to the other services, and their answers in the portal's words."""
