"""The page: one ``gr.Blocks``, its tabs, its player and its look.

Gradio reads its switches while it is imported, so they are set here, before anything of this
package imports it: the page sends nothing anywhere, so there is no telemetry and no look-up of
newer versions.
"""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
