"""The stages of the data plane, one verb per file."""
