"""Orders: one per source and rule, closed only by proof."""
