"""Records: how rows are stored, one by one and 4,096 at a time, and which of them are live.

`row` is the form of everything recent, `pack` the form of settled rows, `liveness` the sealed list of
the settled rows that exist. `cells` codes single values for the latency path of `row`.
"""
