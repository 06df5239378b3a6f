"""One file a command. A handler is a plain function that takes the ports it needs by name."""
