"""plmrs preinfer: the frozen PLM over all items, into the cache."""
