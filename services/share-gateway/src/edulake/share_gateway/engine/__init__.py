"""The share engine: API definitions become parameterised SQL, and calls become JSON built by Postgres."""
