"""States of a data set's texts on disk: made in units, checked, gathered."""
