"""Networks: lists of layer phrases, the residual nets, and any other network by its dotted name."""
