"""plmrs inspect: what is prepared, cached and trained."""
