"""What tests share: cases, synthetic records, the emulation of a GPU; and tools that are run by hand (see docs/testing.md)."""
