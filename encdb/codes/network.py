"""Codes of stores behind a network: PostgreSQL, the remote server, and copies between stores.

Sorted by code; :mod:`encdb.codes` says what the fields mean.
"""

from __future__ import annotations

from typing import Final

from .info import CodeInfo

NETWORK: Final[dict[str, CodeInfo]] = {
    "E_ACCESS_DENIED": CodeInfo(
        "Access denied",
        "28000",
        1,
        "The server does not admit this user or token, or not to what was asked for.",
        "Check the user, password or token and its rights",
    ),
    "E_CONNECTION_FAILED": CodeInfo(
        "Connection failed",
        "08001",
        1,
        "The server that keeps the store cannot be reached.",
        "Check the host, the port and the network, and try again",
    ),
    "E_CONNECTION_INSECURE": CodeInfo(
        "Insecure connection",
        "28000",
        2,
        "The access token would cross a network in clear.",
        "Use https://, or http:// with a server on this machine",
    ),
    "E_CONNECTION_LOST": CodeInfo(
        "Connection lost",
        "08006",
        1,
        "The connection broke; the open transaction, if there was one, is lost and wrote nothing.",
        "Repeat the transaction; the next statement connects again",
    ),
    "E_CONNECTION_SHARED": CodeInfo(
        "Connection shared",
        "08P01",
        1,
        "A pooler hands statements of several clients to one connection of the database.",
        "Connect without the pooler, or set it to pool sessions instead of transactions",
    ),
    "E_COPY_DIFFERS": CodeInfo(
        "Copy differs",
        "XX001",
        4,
        "What was read back from the copy is not what was read from the source.",
        "Remove the copy and repeat it; check the disk of the target",
    ),
    "E_EXTRA_MISSING": CodeInfo(
        "Extra not installed",
        "0A000",
        1,
        "This kind of store needs a package that is not installed.",
        "Install encdb with the extra that the message names",
    ),
    "E_LISTEN_INSECURE": CodeInfo(
        "Insecure listener",
        "28000",
        2,
        "A server reachable from other machines must use TLS.",
        "Pass --tls-cert and --tls-key, or listen on 127.0.0.1",
    ),
    "E_OUTCOME_UNKNOWN": CodeInfo(
        "Outcome unknown",
        "08007",
        1,
        "The connection broke while a commit was under way, and the server cannot be asked about it.",
        "Connect again and look whether the change is there before repeating it",
    ),
    "E_PROTOCOL": CodeInfo(
        "Protocol error",
        "08P01",
        1,
        "The server speaks another protocol or version, or its answer belongs to another request.",
        "Check the URL, and that client and server are of compatible versions",
    ),
    "E_REQUEST_TOO_LARGE": CodeInfo(
        "Request too large",
        "54000",
        1,
        "A request is larger than the server accepts.",
        "Write less at once, or raise the limit of the server",
    ),
    "E_SERVER_BUSY": CodeInfo(
        "Server busy",
        "53300",
        1,
        "The server has as many requests or sessions as it admits.",
        "Wait a moment and repeat the command",
    ),
    "E_SERVER_FAILED": CodeInfo(
        "Server failed",
        "58000",
        1,
        "The server that keeps the store met an unexpected failure.",
        "Look into the log of the server",
    ),
    "E_SNAPSHOT_TOO_OLD": CodeInfo(
        "Snapshot too old",
        "72000",
        1,
        "A transaction read from one state for longer than the store keeps it.",
        "Repeat the transaction, and keep it shorter; a PostgreSQL URL can raise snapshot_seconds",
    ),
    "E_STORE_INCOMPLETE": CodeInfo(
        "Incomplete copy",
        "55000",
        1,
        "The store is the target of a copy that has not ended.",
        "Run the same encdb copy again to complete it, or remove the target",
    ),
    "E_TIMEOUT": CodeInfo(
        "Time limit reached",
        "57014",
        1,
        "The store took longer than the time limit of a request.",
        "Repeat the statement, or raise the time limit in the URL",
    ),
    "E_TOKEN_FILE": CodeInfo(
        "Token file failed",
        "58030",
        1,
        "The file of access tokens cannot be read or written, or others could change it.",
        "Check the path and its permissions",
    ),
    "E_TOKEN_MISSING": CodeInfo(
        "No token",
        "28000",
        1,
        "A remote store needs an access token, and none was given.",
        "Set ENCDB_TOKEN, or ENCDB_TOKEN_FILE to a file that holds it",
    ),
    "E_TOKEN_NAME": CodeInfo(
        "Token name",
        "42710",
        1,
        "There is no token of that name, or there is one already.",
        "List the tokens with encdb token list",
    ),
}
