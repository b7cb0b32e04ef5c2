"""Who delivers: registered sources, their mappings, and the readers of what they send."""
