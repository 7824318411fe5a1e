"""Attestations: in-toto statements with SLSA provenance, and the DSSE envelopes around them."""
