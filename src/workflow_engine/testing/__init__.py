"""What tests of the engine, of adapters and of workflows are made of. Never imported at run time."""
