"""A browser's session: an opaque id in a cookie, its hash in the database."""
