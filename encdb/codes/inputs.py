"""Codes of the command line, imported files and document search.

Sorted by code; :mod:`encdb.codes` says what the fields mean.
"""

from __future__ import annotations

from typing import Final

from .info import CodeInfo

INPUTS: Final[dict[str, CodeInfo]] = {
    "E_COLLECTION_SHAPE": CodeInfo(
        "Not a document collection",
        "42809",
        1,
        "The table was not made by `encdb add` and lacks a collection's columns.",
        "Name another collection with --collection",
    ),
    "E_CSV_MALFORMED": CodeInfo(
        "Malformed input file",
        "22P04",
        1,
        "A line of an imported file cannot be read; the message gives its number.",
        "Correct the line, or pass --format",
    ),
    "E_IMPORT_FORMAT": CodeInfo(
        "Unknown file format",
        "22023",
        2,
        "The format of an imported file is not known.",
        "Pass --format csv, tsv, json, ndjson or sqlite",
    ),
    "E_IMPORT_LIMIT": CodeInfo(
        "Input too large",
        "54000",
        1,
        "A line, field or compressed file passes an explicit limit.",
        "Split the file",
    ),
    "E_IMPORT_VALUE": CodeInfo(
        "Value does not fit",
        "22000",
        1,
        "A value of an imported file does not fit its column.",
        "Override the column's type with --type COL=TYPE",
    ),
    "E_INPUT_FILE": CodeInfo(
        "Input file unreadable",
        "58030",
        1,
        "A file named on the command line is missing or cannot be read.",
        "Check the path and its permissions",
    ),
    "E_MATCH_QUERY": CodeInfo(
        "Malformed search query",
        "42601",
        1,
        "A search query has unbalanced parentheses, a dangling operator, a pattern that says too little, or nothing "
        "to look for.",
        "Use words, AND, OR, NOT, -word, parentheses, and patterns such as kern*, k?rn*l and kernal~1",
    ),
    "E_MATCH_TOO_MANY": CodeInfo(
        "Search pattern for too many words",
        "54000",
        1,
        "A prefix, a wildcard pattern or a misspelt word of a search query stands for more than 1,024 words of the "
        "index, or the query has more than 64 of them.",
        "Give the pattern more letters, or split the query",
    ),
    "E_NO_POSITIONS": CodeInfo(
        "Phrase without positions",
        "0A000",
        1,
        "A search query has a phrase in double quotes, and the keyword index keeps no word positions.",
        "Leave out the quotes, or make the index again WITH (positions = on)",
    ),
    "E_NO_TERMINAL": CodeInfo(
        "No terminal",
        "58000",
        2,
        "A question would have to be asked, and there is no terminal.",
        "Pass the answer as an option, a file or a variable",
    ),
    "E_OUTPUT": CodeInfo(
        "Output failed",
        "58030",
        1,
        "A result or an exported file cannot be written.",
        "Check the path, its permissions and the disk",
    ),
    "E_SHADOWED": CodeInfo(
        "Package shadowed",
        "58000",
        1,
        "Another package named proxy or indexes hides the one that belongs to encdb.",
        "Remove the other package, or use a virtual environment of its own",
    ),
    "E_USAGE": CodeInfo(
        "Wrong usage", "22023", 2, "A command line option, argument or call is wrong.", "See --help"
    ),
}
