"""The start method of helper processes."""

import multiprocessing

# A fork would copy locks that this process's other threads hold.
SPAWN = multiprocessing.get_context("spawn")
