"""The stateless kernel: takes commands, decides, commits, tells."""

from workflow_engine.kernel.dispatch import Kernel
from workflow_engine.kernel.settings import KernelSettings, published_types

__all__ = ["Kernel", "KernelSettings", "published_types"]
