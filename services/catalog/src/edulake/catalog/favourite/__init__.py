"""Favourites: resources somebody follows."""
