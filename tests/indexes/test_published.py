"""The primitives against the vectors that were published for them, as cryptography_vectors collects them.

Wherever the product has a function of its own around a primitive, the vectors go through that function.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from indexes.errors import IntegrityFailure
from indexes.keys import Key
from indexes.prf import BlockCipher
from indexes.seal import RecordSealer


def published(*path):
    """The groups of name = value lines of a file of the PyPI package cryptography_vectors."""
    package = pytest.importorskip(
        "cryptography_vectors", reason="pip install cryptography_vectors for the published vectors"
    )
    text = (Path(package.__file__).parent.joinpath(*path)).read_text(encoding="ascii")
    group, groups = {}, []
    for line in text.splitlines():
        stripped = line.strip().strip("[]")
        if not stripped:
            if group:
                groups.append(group)
                group = {}
        elif "=" in stripped and not stripped.startswith("#"):
            name, _, value = stripped.partition("=")
            group[name.strip().lower()] = value.strip()
    return [*groups, group] if group else groups


def test_published_aes_gcm_siv():
    # RFC 8452, appendix C, as collected by OpenSSL; those of 256-bit keys, through the product.
    used = 0
    for case in published("ciphers", "AES", "GCM-SIV", "openssl.txt"):
        if len(case.get("key", "")) != 64:
            continue
        nonce, sealed = bytes.fromhex(case["iv"]), case["ciphertext"] + case["tag"]
        sealer = RecordSealer(Key(bytes.fromhex(case["key"])))
        aad = bytes.fromhex(case.get("aad", ""))
        plain = sealer.open(nonce + bytes.fromhex(sealed), aad)
        assert plain.hex() == case["plaintext"].lower()
        with pytest.raises(IntegrityFailure):
            sealer.open(nonce + bytes.fromhex(sealed), aad + b"\0")
        used += 1
    assert used > 20


def test_published_aes_gcm():
    # NIST CAVS; of those with 256-bit keys the ones with the product's nonce and tag lengths.
    used, sizes = 0, {}
    for case in published("ciphers", "AES", "GCM", "gcmEncryptExtIV256.rsp"):
        if "taglen" in case:
            sizes = case
        if (sizes.get("taglen"), sizes.get("ivlen")) != ("128", "96") or "key" not in case:
            continue
        key, nonce, aad, plain = (bytes.fromhex(case[name]) for name in ("key", "iv", "aad", "pt"))
        assert AESGCM(key).encrypt(nonce, plain, aad).hex() == case["ct"] + case["tag"]
        used += 1
    assert used > 100


def test_published_hkdf():
    # RFC 5869, appendix A. The product uses the expansion alone, because its parents are uniform.
    used, case = 0, {}
    for group in published("KDF", "rfc-5869-HKDF-SHA256.txt"):
        # A blank line within a case separates what goes in from what comes out.
        case = group if "count" in group else case | group
        if "prk" not in group:
            continue
        size, info, okm = int(case["l"]), bytes.fromhex(case["info"]), bytes.fromhex(case["okm"])
        prk = bytes.fromhex(case["prk"])
        assert HKDFExpand(SHA256(), size, info).derive(prk) == okm
        salt = bytes.fromhex(case["salt"]) or None
        assert HKDF(SHA256(), size, salt, info).derive(bytes.fromhex(case["ikm"])) == okm
        used += 1
    assert used == 3


AES_FILES = ["ECBGFSbox256", "ECBKeySbox256", "ECBMMT256", "ECBVarKey256", "ECBVarTxt256"]


@pytest.mark.parametrize("name", AES_FILES)
def test_published_aes_blocks(name):
    # NIST CAVS: the bare block cipher, on which every PRF, permutation and shuffle is built.
    used = 0
    for case in published("ciphers", "AES", "ECB", f"{name}.rsp"):
        if "key" not in case:
            continue
        cipher = BlockCipher(Key(bytes.fromhex(case["key"])))
        plain, sealed = bytes.fromhex(case["plaintext"]), bytes.fromhex(case["ciphertext"])
        blocks = np.frombuffer(plain, dtype=np.uint8).reshape(-1, 16)
        assert cipher.encrypt(blocks).tobytes() == cipher.encrypt_bytes(plain) == sealed
        used += 1
    assert used >= 5


def test_published_argon2id():
    # RFC 9106 and further ones: what turns a passphrase into a key-encryption key.
    used = 0
    for case in published("KDF", "argon2id.txt"):
        if "output" not in case:
            continue
        secret, ad = (bytes.fromhex(case.get(name, "")) or None for name in ("secret", "ad"))
        kdf = Argon2id(
            salt=bytes.fromhex(case["salt"]),
            length=int(case["length"]),
            iterations=int(case["iter"]),
            lanes=int(case["lanes"]),
            memory_cost=int(case["memcost"]),
            ad=ad,
            secret=secret,
        )
        assert kdf.derive(bytes.fromhex(case["pass"])).hex() == case["output"]
        used += 1
    assert used >= 3


@pytest.mark.parametrize(
    ("path", "digest"),
    [
        (("hashes", "blake2", "blake2b.txt"), lambda case, text: hashlib.blake2b(text)),
        (("hashes", "SHA2", "SHA256ShortMsg.rsp"), lambda case, text: hashlib.sha256(text)),
        (
            ("HMAC", "rfc-4231-sha256.txt"),
            lambda case, text: hmac.new(bytes.fromhex(case["key"]), text, "sha256"),
        ),
    ],
    ids=["BLAKE2b", "SHA-256", "HMAC-SHA256"],
)
def test_published_hashes(path, digest):
    used = 0
    for case in published(*path):
        if "md" not in case or not int(case["len"]):
            continue
        found = digest(case, bytes.fromhex(case["msg"])).hexdigest()
        assert found.startswith(case["md"])
        used += 1
    assert used >= 4
