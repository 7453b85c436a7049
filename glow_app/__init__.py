"""The application: pictures, editing, training and the page, on top of the flow in models/."""
