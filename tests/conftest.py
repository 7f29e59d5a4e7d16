"""What all tests share: XLA compiles without optimising, since a test runs what it compiles once or twice."""

import os

# Before a framework is loaded, and for the processes that tests start.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
