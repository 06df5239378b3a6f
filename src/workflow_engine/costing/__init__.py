"""What AWS would bill for a workflow: measured request by request on emulators, priced from one file."""
