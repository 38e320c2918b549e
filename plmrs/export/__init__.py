"""plmrs export: a trained model's parts for other programs."""
