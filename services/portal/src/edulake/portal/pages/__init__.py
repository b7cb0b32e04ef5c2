"""One module per noun; the URL is the noun."""
