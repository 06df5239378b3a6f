"""What stands behind the ports. No adapter knows the kernel, or another adapter."""
