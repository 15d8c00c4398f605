"""A robot's own bag scored open loop: prediction against persistence, alignment, surprise."""
