"""The worker process: a pool of child processes that each walk one message through the pipeline at a time."""
