"""Learning rates: read and write them, anneal them, keep and replay them."""
