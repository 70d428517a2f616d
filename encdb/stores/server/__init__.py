"""The server behind ``encdb serve``: it carries :mod:`encdb.wire` over HTTPS and adds nothing to it.

``commands`` reads the command line, ``listen`` opens the socket and runs uvicorn, ``protocol`` guards
connections, ``gateway`` admits requests and ``calls`` carries them out, ``sessions`` keeps one store
object per client, ``tokens`` says who may do what, ``limits`` how much, and ``metrics`` and ``logs``
tell the operator about it.

The process holds no key: it sees the messages of :mod:`encdb.wire` and SHA-256 of access tokens. It
imports neither the trusted half nor a cipher, except that of TLS. What it can learn is what the store
below it can learn, and in addition which token and address sent which request.
"""
