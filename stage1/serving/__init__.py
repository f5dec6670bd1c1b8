"""An HTTP server over the bundle that a channel points to."""
