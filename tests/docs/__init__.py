"""What the documentation says is tried: its code runs, its commands exist, its links lead somewhere."""
