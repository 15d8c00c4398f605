"""The thing under control: simulators behind one protocol, tasks and success predicates."""
