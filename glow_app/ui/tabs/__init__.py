"""The page's tabs: each adds its components and events to the page."""
