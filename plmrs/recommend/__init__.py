"""plmrs recommend: the best items of each user, by a trained model."""
