#!/usr/bin/env python3
"""Open the page: ``python app.py``, then visit the address it prints (glow_app/launch.py)."""

from glow_app.launch import command

if __name__ == "__main__":
    raise SystemExit(command())
