"""The cryptographic schemes: arrays and bytes in, arrays and bytes out.

Nothing in this package performs input or output, speaks SQL, or holds global state beyond caches of
pure functions. It imports neither `encdb` nor `proxy`; import-linter checks that.

    methods/   what an index of each kind stores and asks for: equality, range, keyword
    multimap/  the encrypted log-structured multimap: deltas and segments of sealed pages
    records/   rows, packs of rows, and which rows are live
    encoding   canonical and order-preserving forms of SQL values
    labels     what the store calls a row
    prf        index terms to pseudorandom words and tags
    seal       authenticated encryption of records and pages, padding
    keys       key handles and key derivation
"""
