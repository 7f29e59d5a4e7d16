"""Models of the funnel from impression to conversion, over all impressions."""
