"""Shows it: the pages people use."""
