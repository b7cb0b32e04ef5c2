"""What happened to identities, for the audit administrator."""
