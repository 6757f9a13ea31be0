"""Batch -> outputs: the multimodal network in Flax Linen. No files, no clocks, no devices."""
