"""Results as tables, JSON, JUnit and pages."""
