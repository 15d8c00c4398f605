"""The `wm-eval` command; heavy imports happen only after the verb is known."""
