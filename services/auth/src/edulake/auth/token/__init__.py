"""Access tokens: signing keys, the token endpoint, revocation."""
