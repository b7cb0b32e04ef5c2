"""Who asks: login, sessions, roles, clients and tokens."""
