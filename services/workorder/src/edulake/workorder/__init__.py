"""Fixes it: quality problems as orders, closed when the next batch proves the fix."""
