"""The encrypted log-structured multimap: deltas and segments of sealed, equal pages.

`postings` and `varint` code posting lists, `hashed` and `sorted` place them in sealed pages, `delta`
carries what one transaction changed, `merge` folds deltas and segments into new segments, and
`segment` describes a finished segment. Nothing here performs input or output: pages come from a
`read` callback and built pages leave as an iterator.

What it leaks is stated by each module: at rest the number of pages, on a query the pages read.
"""
