"""The page's own components: each a ``gr.HTML``, with template, styles and script in ``static``.

They live in the browser and talk to Python through named events, so a drag or a key never waits
for the server. Values are small JSON; pictures travel inside them.
"""
