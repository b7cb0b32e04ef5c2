"""Known answers of the national standards; a wrong primitive cannot pass."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import ECB
from edulake.common import gm
from edulake.common.gm import hashing, sealing
from tongsuopy.crypto import serialization
from tongsuopy.crypto.asymciphers import ec

KEY = bytes.fromhex("0123456789abcdeffedcba9876543210")

# The signature example of GB/T 32918.5-2017 annex A: curve, key, message, r and s.
P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
G = (
    0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
    0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
)
D = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
PUBLIC = (
    0x09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020,
    0xCCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13,
)
R = 0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3
S = 0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA
ZA = "b2e14c5c79c6df5b85f4fe7ed8db7a262b9da7e07ccb0ea9f4747b8ccda8a4f3"


@pytest.fixture(params=[hashing.linked_sm3, hashing.BundledSm3], ids=["linked", "bundled"])
def each_sm3(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "sm3_constructor", lambda: request.param)


@pytest.mark.usefixtures("each_sm3")
class TestSm3:
    def test_the_two_examples_of_gbt_32905(self) -> None:
        assert gm.sm3_hex(b"abc") == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
        assert gm.sm3_hex(b"abcd" * 16) == "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"

    def test_the_known_code_of_hmac_sm3(self) -> None:
        expected = "28d8a61be67d8bf7652c4eda7092b612f88be62184f55005c57ddf076e764199"
        assert gm.hmac_sm3(KEY, b"abc").hex() == expected

    @pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 200])
    def test_our_hmac_equals_the_standard_librarys_for_every_key_length(self, length: int) -> None:
        key = bytes(range(length))
        assert gm.hmac_sm3(key, b"message") == hmac.digest(key, b"message", "sm3")

    def test_pieces_give_the_digest_of_the_whole_and_a_digest_may_be_asked_twice(self) -> None:
        state = gm.Sm3(b"ab")
        state.update(b"c")
        assert state.digest() == state.digest() == gm.sm3(b"abc")


class TestChoiceOfImplementation:
    @pytest.fixture(autouse=True)
    def _forget(self) -> None:
        hashing.sm3_constructor.cache_clear()

    def test_the_linked_openssl_is_taken_when_it_knows_sm3(self) -> None:
        assert hashing.sm3_constructor() is hashing.linked_sm3

    def test_an_openssl_without_sm3_falls_back_to_the_bundled_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(name: str, data: bytes = b"") -> None:
            raise ValueError("unsupported hash type sm3")

        monkeypatch.setattr(hashlib, "new", refuse)
        assert hashing.sm3_constructor() is hashing.BundledSm3
        hashing.sm3_constructor.cache_clear()

    def test_a_wrong_implementation_is_never_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hashing, "linked_sm3", hashlib.sha256)
        assert hashing.sm3_constructor() is hashing.BundledSm3
        hashing.sm3_constructor.cache_clear()


class TestSm4:
    def test_the_block_of_gbt_32907(self) -> None:
        encryptor = Cipher(SM4(KEY), ECB()).encryptor()
        assert encryptor.update(KEY).hex() == "681edf34d206965e86b3e94f536e4246"

    def test_gcm_gives_rfc_8998_appendix_a1(self) -> None:
        plaintext = b"".join(bytes([x]) * 8 for x in (0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 0xEE, 0xAA))
        aad = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
        nonce = bytes.fromhex("00001234567800000000abcd")
        sealed = sealing.encrypt(SM4(KEY), nonce, plaintext, aad)
        assert sealed.hex() == (
            "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
            "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
            "83de3541e4c2b58177e065a9bf7b62ec"
        )
        assert sealing.decrypt(SM4(KEY), nonce, sealed, aad) == plaintext


class TestSm2:
    def test_the_signature_of_gbt_32918_verifies(self) -> None:
        assert gm.verify(standard_public_pem(), b"message digest", der(R, S))

    def test_another_message_or_signature_does_not(self) -> None:
        assert not gm.verify(standard_public_pem(), b"message digesT", der(R, S))
        assert not gm.verify(standard_public_pem(), b"message digest", der(R, S - 1))
        assert not gm.verify(standard_public_pem(), b"message digest", b"")

    def test_our_plain_arithmetic_gives_the_standards_za(self) -> None:
        assert za(PUBLIC, b"1234567812345678").hex() == ZA

    def test_we_sign_with_the_common_identifier_and_no_other(self) -> None:
        private = gm.generate_key()
        r, s = from_der(gm.sign(private, "市教委审批".encode()))
        numbers = serialization.load_pem_public_key(gm.public_pem(private)).public_numbers()
        public = (numbers.x, numbers.y)
        assert plain_verify(public, "市教委审批".encode(), r, s, b"1234567812345678")
        assert not plain_verify(public, "市教委审批".encode(), r, s, b"")

    def test_a_signature_made_here_verifies_here(self) -> None:
        private = gm.generate_key()
        public = gm.public_pem(private)
        assert gm.verify(public, b"x", gm.sign(private, b"x"))
        assert not gm.verify(gm.public_pem(gm.generate_key()), b"x", gm.sign(private, b"x"))

    @pytest.mark.parametrize("use", [lambda pem: gm.sign(pem, b""), lambda pem: gm.verify(pem, b"", b"")])
    def test_something_that_is_no_key_is_named_so(self, use) -> None:
        with pytest.raises(gm.GmError, match=r"not an SM2 \w+ key"):
            use(b"-----BEGIN NONSENSE-----")


def standard_public_pem() -> bytes:
    key = ec.EllipticCurvePublicNumbers(*PUBLIC, ec.SM2()).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form)


def der(*numbers: int) -> bytes:
    body = b"".join(b"\x02" + bytes([len(x)]) + x for x in (_signed(number) for number in numbers))
    return b"\x30" + bytes([len(body)]) + body


def from_der(data: bytes) -> tuple[int, int]:
    end = 4 + data[3]
    return int.from_bytes(data[4:end], "big"), int.from_bytes(data[end + 2 :], "big")


def _signed(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


# SM2 in plain arithmetic, GB/T 32918.2-2016 clauses 5.5 and 7.1: an independent judge of the library.


def za(public: tuple[int, int], identifier: bytes) -> bytes:
    words = (P - 3, B, *G, *public)
    text = (
        (len(identifier) * 8).to_bytes(2, "big") + identifier + b"".join(x.to_bytes(32, "big") for x in words)
    )
    return gm.sm3(text)


def plain_verify(public: tuple[int, int], message: bytes, r: int, s: int, identifier: bytes) -> bool:
    e = int.from_bytes(gm.sm3(za(public, identifier) + message), "big")
    point = _add(_times(s, G), _times((r + s) % N, public))
    return point is not None and (e + point[0]) % N == r


def _add(a: tuple[int, int] | None, b: tuple[int, int] | None) -> tuple[int, int] | None:
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, P) % P
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P) % P
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def _times(k: int, point: tuple[int, int]) -> tuple[int, int] | None:
    total = None
    while k:
        if k & 1:
            total = _add(total, point)
        point, k = _add(point, point), k >> 1
    return total
