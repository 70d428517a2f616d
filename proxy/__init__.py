"""The trusted proxy: everything that holds a key, plans SQL or sees a plaintext.

Users import ``encdb``, never ``proxy``; ``encdb`` hands on the public names of this package lazily.
This module imports nothing, so that naming one submodule never loads the others.
"""
