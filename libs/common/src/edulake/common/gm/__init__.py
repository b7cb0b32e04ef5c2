"""National cryptography: SM3 digests and tokens, SM4-GCM sealing, SM2 signatures.

Promise: nothing here invents a scheme; every primitive is held by the known answers of
GB/T 32905 (SM3), GB/T 32907 (SM4), RFC 8998 (SM4-GCM) and GB/T 32918 (SM2) in the tests.
"""

from edulake.common.gm.errors import GmError, KeyProviderRefused, SealBroken, UnknownKey
from edulake.common.gm.hashing import Sm3, hmac_sm3, sm3, sm3_hex
from edulake.common.gm.keys import PURPOSES, Key, KeyRing
from edulake.common.gm.provider import FileKeyProvider, KeyProvider, MountedKeyProvider, open_keys
from edulake.common.gm.sealing import open_sealed, seal, seal_many, tokenise, tokenise_many, tokenise_with_all
from edulake.common.gm.signing import generate_key, public_pem, sign, verify
from edulake.common.gm.streams import open_stream, seal_stream

__all__ = [
    "PURPOSES",
    "FileKeyProvider",
    "GmError",
    "Key",
    "KeyProvider",
    "KeyProviderRefused",
    "KeyRing",
    "MountedKeyProvider",
    "SealBroken",
    "Sm3",
    "UnknownKey",
    "generate_key",
    "hmac_sm3",
    "open_keys",
    "open_sealed",
    "open_stream",
    "public_pem",
    "seal",
    "seal_many",
    "seal_stream",
    "sign",
    "sm3",
    "sm3_hex",
    "tokenise",
    "tokenise_many",
    "tokenise_with_all",
    "verify",
]
