"""Every port in the memory of one process."""
