"""What a recommender or a model of clicks and conversions is worth."""
