"""Quality: one report per governed batch, with a score per dimension of GB/T 36344."""
