"""plmrs evaluate: full ranking on held-out items."""
