"""For the tests of whoever uses the library. Nothing here is imported by the rest of it."""
