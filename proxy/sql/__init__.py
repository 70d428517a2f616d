"""SQL: from the text of a statement to a plan, and no further.

The dialect is PostgreSQL's. :mod:`.parse` makes statements out of text, :mod:`.plan` decides which
rows and columns a query needs at least, and :mod:`.dialect` writes the same query for the local engine.
Nothing here reads a store, opens a row or knows a key. The rules that allow a predicate to be looked up
in an index are the modules of :mod:`.rules`; whatever no rule allows is left to the engine.

This module imports nothing, so that naming one submodule never loads the others.
"""
