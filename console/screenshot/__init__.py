"""Pictures of the console, for the README and for looking at changes: on invented data or on a running system."""
