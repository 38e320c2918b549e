"""What was recommended to whom: raw sources, prepared data sets, splits."""
