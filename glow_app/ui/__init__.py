"""The page: one ``gr.Blocks``, its tabs, its player and its look.

Gradio reads its switches while it is imported, so they are set here, before anything of this
package imports it: the page sends nothing anywhere, so there is no telemetry and no look-up of
newer versions. Its other switches would make the page less safe (shared files, more ports, an
editor of code) and are removed; only the folder for uploads may be chosen.

Gradio asks its own server whether it answers. Where a proxy is set that question must not go
there, so for this process there is none.
"""

import os

for _name in [name for name in os.environ if name.startswith("GRADIO_")]:
    if _name not in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED"):
        del os.environ[_name]
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
for _name in ("no_proxy", "NO_PROXY"):
    os.environ[_name] = "*"
