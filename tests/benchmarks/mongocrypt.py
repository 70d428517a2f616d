"""Explicit encryption with libmongocrypt, MongoDB's client-side library, as a peer. No server is needed.

Values are encrypted one by one, which is the interface that its Python binding has. A data key lies in
memory, wrapped by a local master key, as an application's key vault would hold it.
"""

from __future__ import annotations

import os
from typing import Any

INSTALL = "pip install pymongocrypt pymongo"
DETERMINISTIC = "AEAD_AES_256_CBC_HMAC_SHA_512-Deterministic"


class MongoCrypt:
    """One data key, and encryption of single values under it.

    Raises:
        ImportError: the packages are not installed; ``make bench-indexes`` does that.
    """

    def __init__(self) -> None:
        import bson
        from pymongocrypt.explicit_encrypter import ExplicitEncrypter
        from pymongocrypt.mongocrypt import MongoCryptOptions

        self._bson: Any = bson
        options = MongoCryptOptions({"local": {"key": os.urandom(96)}})
        self._encrypter = ExplicitEncrypter(_vault(bson), options)
        self._key = self._encrypter.create_data_key("local")

    def deterministic(self, value: object) -> bytes:
        """The deterministic form of client-side field level encryption: equal values are equal."""
        return self._encrypt(value, DETERMINISTIC)

    def indexed(self, value: object) -> bytes:
        """The payload of an equality index of Queryable Encryption, for an insert."""
        return self._encrypt(value, "Indexed", contention_factor=0)

    def ranged(self, value: int, low: int, high: int) -> bytes:
        """The payload of a range index of Queryable Encryption, for an insert.

        The smallest sparsity is asked for, with which a query names the fewest tags.
        """
        bounds = {"min": low, "max": high, "sparsity": self._bson.Int64(1), "trimFactor": 6}
        options = self._bson.encode(bounds)
        return self._encrypt(value, "Range", contention_factor=0, range_opts=options)

    def _encrypt(self, value: object, algorithm: str, **options: Any) -> bytes:
        document = self._bson.encode({"v": value})
        found = self._encrypter.encrypt(document, algorithm, key_id=self._key, **options)
        return bytes(self._bson.decode(found)["v"])


def _vault(bson: Any) -> Any:
    """A key vault in memory."""
    from pymongocrypt.synchronous.state_machine import MongoCryptCallback

    class Vault(MongoCryptCallback):
        def __init__(self) -> None:
            self.documents: list[bytes] = []

        def kms_request(self, kms_context: Any) -> None:
            raise NotImplementedError("the master key is local")

        def collection_info(self, database: Any, filter: Any) -> Any:  # noqa: A002 - its name there
            raise NotImplementedError("nothing is encrypted automatically")

        def mark_command(self, database: Any, cmd: Any) -> Any:
            raise NotImplementedError("nothing is encrypted automatically")

        def fetch_keys(self, filter: Any) -> list[bytes]:  # noqa: A002 - its name there
            return self.documents

        def insert_data_key(self, data_key: Any) -> Any:
            self.documents.append(bytes(data_key))
            return bson.decode(bytes(data_key))["_id"]

        def bson_encode(self, doc: Any) -> Any:
            return bson.encode(doc)

        def close(self) -> None:
            self.documents.clear()

    return Vault()
