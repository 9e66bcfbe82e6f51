"""Phase 2: MMDetection's segmenters on rewritten annotation files, by their configs alone."""
