"""The only places where adapters meet the kernel."""
