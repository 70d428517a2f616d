"""Statistics of tables, and what they are for: choosing how a table is read.

`sample` counts values, `analyze` reads a table for it, `stored` seals what was found and opens it again,
`column` and `estimate` say how many rows a condition leaves, `cost` what reading them takes, and `choice`
which indexes are worth it. Statistics that are old or wrong cost time and never a row, because an index
gives a superset of the rows wanted, and a scan gives all of them.
"""
