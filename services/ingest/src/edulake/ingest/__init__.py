"""Raw: sources deliver batches, which land sealed."""
