"""The kinds of PLM plmrs can run, a module a family: where its blocks lie, and how it runs with only some of them.

Each module has the functions `sizes(size)`, `build(config, embeddings, norm)`, `stored_name(name, first)` and
`first_position(config, prefix)`, and imports no torch before `build` is called, so that sizes are read at no cost. One
whose model throws a cache away has `prefixed(model, cache)` too. `checkpoint.FAMILIES` names the modules.

Each also says `BLOCKS`, what the names of its blocks' tensors begin with; `NORM`, the same of its final norm, None
without one; `DROPOUTS`, the settings of its configuration that are rates of dropout; `DECODER`, whether a token sees
only those before it.
"""
