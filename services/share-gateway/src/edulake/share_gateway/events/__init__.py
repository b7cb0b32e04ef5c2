"""Published-data events for callers outside: what changed, never the rows."""
