"""Everything that reads and changes nothing: the command line, the console and tests ask here, and touch no port."""
