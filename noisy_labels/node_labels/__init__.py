"""Wrong labels at the nodes of a graph."""
