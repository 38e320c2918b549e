"""The kinds of PLM plmrs can run, a module a family: where its blocks lie, and how it runs with only some of them.

Each module has three functions, `sizes(size)`, `build(config, embeddings, norm)` and `stored_name(name, first)`, and
imports no torch before `build` is called, so that sizes are read at no cost. `checkpoint.FAMILIES` names the modules.
"""
