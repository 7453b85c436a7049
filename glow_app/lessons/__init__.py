"""The lessons of the Learn tab: what a normalizing flow is, computed by ``models`` itself.

Each lesson is a few functions of tensors that the page, ``scripts/learn.py`` and the tests call
alike. Nothing here imports the page.
"""
