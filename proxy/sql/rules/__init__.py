"""The rules by which predicates may be looked up in an index: one module each.

=========== =============================================================================================
module      what it allows
=========== =============================================================================================
atoms       rules 1 and 2: ``column op constant``, compared in the column's type, immutable constants only
columns     what a condition may be about: a bare column, or ``lower()`` of one
like        rule 10: prefixes and parts of texts, with and without regard to letter case
texts       the same, read from LIKE, ILIKE, ``starts_with``, ``contains`` and their like
boolean     rule 5: AND; OR of arms on one table; NOT by De Morgan
filters     rules 3 and 4: WHERE; ON to the inner or null-supplying side
derived     rules 6 and 7: through subqueries, grouping and set operations
reuse       rule 9: a table or CTE used several times is fetched by the OR of its predicates
semijoin    rule 8: reducing one table by the values another was found to have
ordered     rule 11: ORDER BY … LIMIT and MIN/MAX from an index
direct      rule 12: statements that need no engine
=========== =============================================================================================

The default is not to push: pushing too little costs time, pushing too much loses rows.
"""
