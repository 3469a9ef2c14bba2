"""Sources as users write them; a test runs each."""
