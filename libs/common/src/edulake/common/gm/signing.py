"""SM2 signatures over SM3 (GB/T 32918.2-2016) by Tongsuo.

The distinguishing identifier is the common default `1234567812345678` (GM/T 0009-2012, clause 10);
OpenSSL before 4.0 signs with an empty one, so its signatures do not verify here. Signatures are DER.
"""

from edulake.common.gm.errors import GmError
from tongsuopy.crypto import hashes, serialization
from tongsuopy.crypto.asymciphers import ec
from tongsuopy.crypto.exceptions import InternalError, InvalidSignature


def generate_key() -> bytes:
    """A new SM2 private key, PEM (PKCS #8, not encrypted: keep it where secrets are kept)."""
    key = ec.generate_private_key(ec.SM2())
    form = serialization.PrivateFormat.PKCS8
    pem: bytes = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return pem


def public_pem(private_pem: bytes) -> bytes:
    """The public half of a private key, PEM."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem: bytes = _private(private_pem).public_key().public_bytes(serialization.Encoding.PEM, form)
    return pem


def sign(private_pem: bytes, data: bytes) -> bytes:
    """A DER signature (r, s) of the data; ≈0.4 ms."""
    signature: bytes = _private(private_pem).sign(data, ec.ECDSA(hashes.SM3()))
    return signature


def verify(public_key_pem: bytes, data: bytes, signature: bytes) -> bool:
    """True when the signature was made over exactly these bytes by this key."""
    try:
        key = serialization.load_pem_public_key(public_key_pem)
    except ValueError as error:
        raise GmError("not an SM2 public key in PEM") from error
    try:
        key.verify(signature, data, ec.ECDSA(hashes.SM3()))
    except (InvalidSignature, InternalError):  # the latter: bytes that are no DER signature at all
        return False
    return True


def _private(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        return serialization.load_pem_private_key(pem, password=None)
    except ValueError as error:
        raise GmError("not an SM2 private key in PEM") from error
