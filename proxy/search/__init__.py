"""Full-text search on the trusted side: analysis, queries, ranking and documents.

=============  =======================================================================
`analysis`     text to tokens: one analyser for indexes, queries and plain scans
`query`        the query language, shared by SQL ``@@`` and ``encdb search``
`patterns`     prefixes, wildcards and misspelt words, and the terms they stand for
`evaluate`     a query over posting lists, as set operations on sorted ordinals
`plain`        the same query over texts, without an index
`rank`         BM25 over posting lists
`files`        walking paths without following what an attacker may have planted
`documents`    files to documents: mail, mbox, Markdown, text
`mail`         one raw message to its headers and its readable text
`charsets`     bytes of unknown or mislabelled charset to text
`html`         HTML to text
`collection`   the table that holds documents
=============  =======================================================================

Nothing here touches a key or a store. This module imports nothing, so that naming one submodule never
loads the others.
"""
