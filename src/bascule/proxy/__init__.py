"""Carrying what the kernel can't translate: a process of its own and the client that feeds it."""
