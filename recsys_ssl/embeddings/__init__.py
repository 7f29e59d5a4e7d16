"""Tables of ids of any number, and the optimizers that touch a batch's rows alone."""
