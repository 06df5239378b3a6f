"""The ports on AWS, one module a service. Nothing is re-exported: a process imports what it uses."""
