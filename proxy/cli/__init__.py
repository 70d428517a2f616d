"""The command line: commands, the SQL shell, output formats, progress and the demo.

``proxy.cli.main:main`` is the entry point of the ``encdb`` command. Modules here import only click,
the standard library and ``encdb.errors`` when they are loaded; everything heavy (NumPy, pyarrow,
DuckDB, rich, prompt_toolkit) is imported inside the function that needs it, so that ``encdb --version``
and ``encdb --help`` start at once.
"""
