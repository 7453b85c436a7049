"""Experiments whose results `docs/architecture.md` shows; each file is a command by itself."""
