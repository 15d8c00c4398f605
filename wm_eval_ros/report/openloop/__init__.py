"""An open-loop evaluation as text, JSON and page."""
