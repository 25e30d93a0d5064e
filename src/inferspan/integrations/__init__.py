"""Model libraries that are traced without a line in the code that predicts: one file each.

A file is called as the library is imported. It says in its docstring what is patched and what
appears, and holds `SUPPORTED`, two pure extractors (`describe`: the model → what it knows of
itself; `read`: that and a method → how its answers are read) and `INTEGRATION`, which names the
classes and methods. When something is patched, what nests in what, and which call is a prediction
is decided in `instrumenting`, `patching` and `nesting`, the same for all of them.
"""
