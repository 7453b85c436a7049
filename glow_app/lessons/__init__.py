"""What a normalizing flow is, on small problems: numbers and figures, made by ``models`` itself.

One module a lesson, each a few functions of tensors that the page, ``scripts/learn.py`` and the
tests call alike. Nothing here knows the page.
"""
