"""Where adapters meet the kernel for programs: on AWS, and in memory.

Tests, the simulator, the cost meter and archives put kernels together for their own purposes.
"""
