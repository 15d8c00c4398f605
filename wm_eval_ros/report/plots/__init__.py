"""The figures of the pages, each of one message, as plain plotly dictionaries."""
