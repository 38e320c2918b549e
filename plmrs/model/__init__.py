"""The recommender: item vectors, SASRec, losses, ranking."""
