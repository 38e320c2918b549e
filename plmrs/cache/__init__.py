"""Item vectors on disk: made in units, checked, read."""
