"""One attempt of a stage: what it reads, runs within, leaves behind and comes to."""
