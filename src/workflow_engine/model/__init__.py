"""The engine's vocabulary as frozen values. No I/O, no rules."""
