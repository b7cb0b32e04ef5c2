"""What can go wrong with keys and sealed values; no message holds a value or a key."""


class GmError(Exception):
    """Any failure of the cryptographic kit."""


class UnknownKey(GmError):
    """A text names a key that its ring does not hold (rotated away, or of another installation)."""


class SealBroken(GmError):
    """A sealed text or file is damaged, cut, reordered, or belongs to another place."""


class KeyProviderRefused(GmError):
    """Keys cannot be had in this environment; the message says what to configure."""
