"""Files that hold what the log held: written by one, read by anyone, whole after any crash. Their bytes: README.md."""
