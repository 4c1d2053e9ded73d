"""The pure core: events in, state out."""
