"""People known here: identity is issuer and subject, never a name."""
