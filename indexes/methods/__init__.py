"""Index methods: what a column's values become in the multimap.

`equality` turns values into words, `range` into ordered keys, `keyword` documents into postings. All
three are hidden methods: the store sees sealed pages and which of them are read, as `leakage` states.
"""
