"""The edulake command: up, demo, ingest, verify."""
