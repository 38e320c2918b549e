"""Pretrained language models: find, load, encode, pool."""
