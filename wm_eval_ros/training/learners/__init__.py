"""What a training run asks of a family: one module a kind of family."""
