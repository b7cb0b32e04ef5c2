"""Access tokens: keys of the issuer, verification, memory of verified tokens."""
