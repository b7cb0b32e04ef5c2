"""The eight steps of governance. Pure: frame and context in, frame and findings out; no I/O of any kind."""
