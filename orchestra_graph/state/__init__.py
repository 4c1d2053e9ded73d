"""The shared, typed state."""
