"""Soup's own version, as a constant: asking the installed metadata costs more than the rest of a short command."""

VERSION = "0.1.0"
