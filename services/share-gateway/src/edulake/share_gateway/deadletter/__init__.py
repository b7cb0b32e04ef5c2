"""Events no group could handle: seen, and handled again once the cause is mended."""
