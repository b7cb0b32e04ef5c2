"""Programs that call: their names, secrets, keys and status."""
