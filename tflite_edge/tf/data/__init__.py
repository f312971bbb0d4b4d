"""Data: sources -> a pool of raw samples -> splits that never overlap -> batches and packs."""
