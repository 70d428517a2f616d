"""``encdb serve`` as a process: it holds no key, keeps its promises when killed, and speaks TLS."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import encdb
from encdb import wire
from encdb.__main__ import main
from encdb.errors import EncdbError, UsageError
from encdb.stores import create_store, open_store
from encdb.stores.server.commands import named_store
from encdb.stores.server.sockets import Address, Certificate
from encdb.stores.server.tokens import add_token
from tests.fixtures import commits
from tests.fixtures.relay import relay_to
from tests.fixtures.server import running_server
from tests.fixtures.stores import GENESIS

ROOT = Path(encdb.__file__).resolve().parents[1]
TABLE = commits.TABLE


class Process:
    """``encdb serve`` in a process of its own."""

    def __init__(self, folder, *arguments, port=0, trace_imports=False):
        self.tokens = folder / "tokens"
        if not self.tokens.exists():
            (folder / "token").write_text(add_token(self.tokens, "suite"))
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        if trace_imports:
            environment["PYTHONPROFILEIMPORTTIME"] = "1"
        given = ["--tokens", str(self.tokens), "--listen", f"127.0.0.1:{port}", *arguments]
        self.lines = []
        self.running = subprocess.Popen(
            [sys.executable, "-m", "encdb", "serve", *given],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=environment,
        )
        for line in self.running.stderr:
            self.lines.append(line)
            if '"listening"' in line:
                break
        assert self.running.poll() is None, self.lines
        self.port = json.loads(self.lines[-1])["port"]
        self._reader = threading.Thread(target=self.lines.extend, args=(self.running.stderr,))
        self._reader.start()

    def url(self, name):
        return f"http://127.0.0.1:{self.port}/{name}"

    def stop(self, how=signal.SIGTERM):
        """Its exit status."""
        if self.running.poll() is None:
            self.running.send_signal(how)
        self.running.wait(30)
        self._reader.join()
        if not self.running.stdout.closed:
            assert self.running.stdout.read() == ""
            self.running.stdout.close()
            self.running.stderr.close()
        return self.running.returncode

    @property
    def events(self):
        return [json.loads(line) for line in self.lines if line.startswith("{")]


@contextlib.contextmanager
def process(folder, *arguments, **options):
    made = Process(folder, *arguments, **options)
    try:
        yield made
    finally:
        made.stop(signal.SIGKILL)


@pytest.fixture
def vault(tmp_path, monkeypatch):
    """A store with a table, and the environment of its clients."""
    store = commits.with_table(create_store(str(tmp_path / "vault.db"), GENESIS))
    store.close()
    monkeypatch.setenv("ENCDB_TOKEN_FILE", str(tmp_path / "token"))
    return tmp_path / "vault.db"


def a_commit(n):
    rows = ((n, os.urandom(300)),)
    return commits.commit(commits.change(rows_added=rows, delta=commits.delta(n)))


# --- No key ----------------------------------------------------------------------------------------


def memory_of(pid):
    """Everything that a process can write to, and what it has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps.splitlines():
            place, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            start, end = (int(one, 16) for one in place.split("-"))
            with contextlib.suppress(OSError, OverflowError, ValueError):
                memory.seek(start)
                found.append(memory.read(end - start))
    return b"".join(found), maps


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="there is no /proc to look into")
def test_the_server_never_holds_a_key(tmp_path, monkeypatch):
    monkeypatch.setenv("ENCDB_TOKEN_FILE", str(tmp_path / "token"))
    keyring = tmp_path / "keyring"
    plaintext = "the cat sat on the mat "
    options = ("vault=vault.db", "--allow-create")
    with process(tmp_path, *options, trace_imports=True) as server:
        encdb.init(server.url("vault"), keyring=str(keyring))
        with encdb.connect(server.url("vault"), keyring=str(keyring)) as connection:
            connection.execute("CREATE TABLE notes (id BIGINT PRIMARY KEY, note TEXT)")
            connection.execute("CREATE INDEX ON notes USING keyword (note)")
            with connection.cursor() as cursor:
                rows = [(n, f"{plaintext} number {n}") for n in range(200)]
                cursor.executemany("INSERT INTO notes VALUES (?, ?)", rows)
            found = connection.execute("SELECT count(*) FROM notes WHERE note @@ 'cat'").fetchall()
            assert found == [(200,)]
        memory, maps = memory_of(server.running.pid)
        # The scan finds what is there: names of relations, and sealed pages.
        assert b"rows_" in memory
        assert (tmp_path / "vault.db").read_bytes()[:100] in memory
        root = bytes.fromhex(json.loads(keyring.read_text())["root"])
        assert len(root) == 32
        for secret in (
            root,
            root.hex().encode(),
            plaintext.encode(),
            plaintext.encode("utf-16-le"),
        ):
            assert secret not in memory
        # sqlite-utils loads NumPy where it finds it; nothing else of the trusted half may be there.
        for module in ("_rust.abi3", "/pyarrow/", "/duckdb/", "/sqlglot/"):
            assert module not in maps
        assert server.stop() == 0
        imported = {
            line.rpartition("|")[2].strip()
            for line in server.lines
            if line.startswith("import time:")
        }
    assert "encdb.stores.server.exchange" in imported
    assert "encdb.stores.sqlite.store" in imported
    rooms = {"proxy", "indexes", "cryptography", "pyarrow", "duckdb", "sqlglot", "whoosh"}
    assert {name for name in imported if name.partition(".")[0] in rooms} == set()


def test_tokens_are_made_without_the_trusted_half(tmp_path):
    code = (
        "import sys\n"
        "from encdb.__main__ import main\n"
        f"assert main(['token', 'add', {str(tmp_path / 't')!r}, 'x']) == 0\n"
        f"assert main(['token', 'list', {str(tmp_path / 't')!r}]) == 0\n"
        "assert main(['serve', '--help']) == 0\n"
        "rooms = ('proxy', 'indexes', 'cryptography', 'numpy', 'uvicorn', 'starlette')\n"
        "print(sorted(set(rooms) & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stderr == "[]\n"


# --- Ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_an_orderly_end(vault, how):
    with process(vault.parent, "vault.db") as server:
        store = open_store(server.url("vault"))
        with store.snapshot() as snapshot:
            snapshot.read(wire.ReadRows(TABLE, None))
            assert server.stop(how) == 0
        store.close()
    events = server.events
    assert events[0]["stores"] == ["vault"]
    assert (events[-1]["event"], events[-1]["complete"]) == ("stopped", True)
    assert {"session opened", "request", "session closed"} <= {one["event"] for one in events}
    assert not Path(f"{vault}-wal").exists()


def test_a_server_that_is_killed_in_the_middle_of_a_commit(vault):
    """The client repeats the commit to the server that comes after, and it happens once."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(process(vault.parent, "vault.db"))
        relay = stack.enter_context(relay_to(server.port))
        store = open_store(relay.url("vault") + "?timeout=20")
        answers = []
        for n, moment in enumerate((0.0, 0.005), start=1):
            client = threading.Thread(target=lambda n=n: answers.append(store.commit(a_commit(n))))
            relay.arm(down=0)
            client.start()
            time.sleep(moment)
            server.stop(signal.SIGKILL)
            server = stack.enter_context(process(vault.parent, "vault.db"))
            relay.target = server.port
            client.join(30)
            assert len(answers) == n
        assert set(answers) <= {wire.Committed(), wire.Committed(repeated=True)}
        assert sorted(commits.rows(store)) == [1, 2]
        store.close()
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "status", "part"),
    [
        (["x.db", "--tokens", "T", "--listen", "0.0.0.0:0"], 2, "E_LISTEN_INSECURE"),
        (["x.db", "--tokens", "T", "--listen", "[::]:0"], 2, "E_LISTEN_INSECURE"),
        (["x.db", "--tokens", "T", "--listen", "192.0.2.1:0"], 2, "E_LISTEN_INSECURE"),
        (["x.db", "--tokens", "T", "--listen", "db.example:1"], 2, "E_USAGE"),
        (["x.db", "--tokens", "T", "--listen", "127.0.0.1"], 2, "E_USAGE"),
        (["x.db", "--tokens", "T", "--listen", "127.0.0.1:99999"], 2, "E_USAGE"),
        (["x.db", "--tokens", "T", "--tls-cert", "c.pem"], 2, "E_USAGE"),
        (["x.db", "--tokens", "T", "--tls-cert", "T", "--tls-key", "T"], 1, "E_INPUT_FILE"),
        (["x.db", "--tokens", "none"], 1, "E_TOKEN_FILE"),
        (["x.db", "--tokens", "T"], 1, "E_STORE_MISSING"),
        (["x.db", "--tokens", "T"], 1, "--allow-create"),
        (["T", "--tokens", "T"], 1, "E_NOT_A_DATABASE"),
        (["a/x.db", "b/x.db", "--tokens", "T", "--allow-create"], 2, "two stores are named x"),
        (["https://host/x", "--tokens", "T"], 2, "E_STORE_KIND"),
        (["x.db", "--tokens", "T", "--rate", "-1"], 2, "E_USAGE"),
        (["x.db", "--tokens", "T", "--threads", "0"], 2, "E_USAGE"),
        (["x.db"], 2, "--tokens"),
        ([], 2, "STORE"),
    ],
)
def test_what_is_refused_before_anything_is_served(
    tmp_path, monkeypatch, capsys, arguments, status, part
):
    monkeypatch.chdir(tmp_path)
    add_token(tmp_path / "T", "x")
    assert main(["serve", *arguments]) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert part in captured.err
    assert [one.name for one in tmp_path.iterdir()] == ["T"]


def test_an_address_that_is_taken(vault, capsys):
    add_token(vault.parent / "T", "x")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        arguments = ["serve", str(vault), "--tokens", str(vault.parent / "T"), "--listen", listen]
        assert main(arguments) == 1
    assert "E_CONNECTION_FAILED" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vault.db", ("vault", "vault.db")),
        ("/srv/my.vault.db", ("my.vault", "/srv/my.vault.db")),
        ("sqlite:////srv/vault.db", ("vault", "sqlite:////srv/vault.db")),
        ("team=/srv/vault.db", ("team", "/srv/vault.db")),
        ("./a=b.db", None),
        ("x=./a=b.db", ("x", "./a=b.db")),
        ("postgresql://h/db", ("encdb", "postgresql://h/db")),
        ("postgresql://h/db?schema=team", ("team", "postgresql://h/db?schema=team")),
        ("pg=postgres://h/db?schema=x", ("pg", "postgres://h/db?schema=x")),
        ("https://h/x", None),
        (".hidden", None),
        ("", None),
    ],
)
def test_names_of_stores(text, expected):
    if expected is None:
        with pytest.raises(UsageError):
            named_store(text)
    else:
        assert named_store(text) == expected


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.8.8.8:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("[::ffff:10.0.0.1]:1", False),
    ],
)
def test_who_can_reach_an_address(text, loopback):
    assert Address.parse(text).loopback == loopback


# --- TLS -------------------------------------------------------------------------------------------


def make_certificate(folder, *, host="127.0.0.1", serial=1):
    """A certificate that signs itself; paths of it and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"encdb test {serial}")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    contents = (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    for path, data in zip(paths, contents, strict=True):
        scratch = path.with_suffix(".new")
        scratch.write_bytes(data)
        scratch.replace(path)
    return paths


@pytest.fixture
def secure(vault, monkeypatch):
    """A server with TLS that its clients trust."""
    paths = make_certificate(vault.parent)
    with running_server({"vault": str(vault)}, certificate=Certificate(*paths)) as running:
        monkeypatch.setenv("ENCDB_TOKEN", running.token())
        monkeypatch.setenv("ENCDB_CA_FILE", str(paths[0]))
        yield running


def test_tls(secure):
    with contextlib.closing(open_store(secure.url("vault"))) as store:
        assert store.url.startswith("https://127.0.0.1:")
        assert store.commit(a_commit(1)) == wire.Committed()
        assert list(commits.rows(store)) == [1]
        pages = tuple((1 << 32 | n, os.urandom(1 << 16)) for n in range(40))
        assert store.stage(wire.Stage(TABLE, 1, pages)) == wire.Staged()
        with store.snapshot() as snapshot:
            read = wire.ReadPages(TABLE, tuple(one for one, _ in pages))
            assert len(snapshot.read(read).ids) == 40


def test_a_certificate_has_to_be_believed(secure, monkeypatch, tmp_path):
    def fails(code):
        with pytest.raises(EncdbError) as caught:
            open_store(secure.url("vault"))
        assert caught.value.code == code
        return caught.value

    monkeypatch.delenv("ENCDB_CA_FILE")
    assert "certificate" in fails("E_CONNECTION_FAILED").message
    (tmp_path / "other").mkdir()
    other, _ = make_certificate(tmp_path / "other")
    monkeypatch.setenv("ENCDB_CA_FILE", str(other))
    fails("E_CONNECTION_FAILED")
    (tmp_path / "noise").write_text("noise")
    monkeypatch.setenv("ENCDB_CA_FILE", str(tmp_path / "noise"))
    fails("E_INPUT_FILE")
    monkeypatch.setenv("ENCDB_CA_FILE", str(tmp_path / "none"))
    fails("E_INPUT_FILE")
    assert not secure.gateway.metrics.requests


def test_a_certificate_for_another_host(vault, monkeypatch):
    paths = make_certificate(vault.parent, host="192.0.2.7")
    with running_server({"vault": str(vault)}, certificate=Certificate(*paths)) as running:
        monkeypatch.setenv("ENCDB_TOKEN", running.token())
        monkeypatch.setenv("ENCDB_CA_FILE", str(paths[0]))
        with pytest.raises(EncdbError) as caught:
            open_store(running.url("vault"))
        assert caught.value.code == "E_CONNECTION_FAILED"


def test_old_tls_and_no_tls_are_refused(secure, monkeypatch):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", secure.port), timeout=5) as connection,
        pytest.raises((ssl.SSLError, OSError)),
    ):
        old.wrap_socket(connection)
    monkeypatch.setattr("encdb.stores.remote.repeating._BROKEN_SECONDS", 0.3)
    with pytest.raises(EncdbError) as caught:
        open_store(secure.url("vault").replace("https", "http"))
    assert caught.value.code in ("E_CONNECTION_LOST", "E_PROTOCOL")


def test_a_handshake_that_does_not_come(vault, tmp_path):
    certificate = Certificate(*make_certificate(tmp_path))
    options = {"certificate": certificate, "header_seconds": 0.3}
    with running_server({"vault": str(vault)}, **options) as running:
        started = time.monotonic()
        with contextlib.closing(socket.create_connection(("127.0.0.1", running.port))) as silent:
            silent.settimeout(20)
            assert silent.recv(1) == b""
        assert time.monotonic() - started < 10


def test_https_with_a_server_that_speaks_none(vault, monkeypatch):
    with running_server({"vault": str(vault)}) as running:
        monkeypatch.setenv("ENCDB_TOKEN", running.token())
        with pytest.raises(EncdbError) as caught:
            open_store(running.url("vault").replace("http", "https"))
        assert caught.value.code == "E_CONNECTION_FAILED"
        assert "TLS" in caught.value.message


def served_serial(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(connection) as wrapped:
            return x509.load_der_x509_certificate(
                wrapped.getpeercert(binary_form=True)
            ).serial_number


def test_a_renewed_certificate_is_taken_in(secure, vault):
    assert served_serial(secure) == 1
    (vault.parent / "cert.pem").write_text("damaged")
    deadline = time.monotonic() + 10
    while not any(one["event"] == "certificate failed" for one in secure.log):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert served_serial(secure) == 1
    make_certificate(vault.parent, serial=2)
    while served_serial(secure) == 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert served_serial(secure) == 2


def test_a_key_with_a_passphrase_is_refused_without_a_prompt(tmp_path):
    certificate, key = make_certificate(tmp_path)
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hush"),
        )
    )
    with pytest.raises(EncdbError) as caught:
        Certificate(certificate, key)
    assert caught.value.code == "E_INPUT_FILE"
