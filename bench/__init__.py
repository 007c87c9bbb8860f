"""What the project measures, as commands that can be run again: `python -m bench`."""
