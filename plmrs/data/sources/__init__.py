"""Raw layouts, a file each; every one gives items and interactions."""
