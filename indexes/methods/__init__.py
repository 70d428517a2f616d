"""Index methods: what a column's values become in the multimap.

`equality` turns values into words, `range` into ordered keys, `keyword` documents and `substring` texts into postings.
These are hidden methods: the store sees sealed pages and which of them are read, as `leakage` states. `det`, `ore` and
`ope` are server-visible: the store compares what they make of values.
"""
