"""What an evaluation found as a page to look at, and the same charts as PNG files."""
