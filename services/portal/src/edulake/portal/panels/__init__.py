"""What a person's first screen holds beside the lake itself, by role (one panel, one module)."""
