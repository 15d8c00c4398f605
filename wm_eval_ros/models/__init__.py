"""World models: the protocol, the families, checkpoints."""
