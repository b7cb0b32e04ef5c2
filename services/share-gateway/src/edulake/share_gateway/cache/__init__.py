"""Answers kept for a moment, never across grants or data versions."""
