"""One file a command: its options and its help. What it does is imported when it is called."""
